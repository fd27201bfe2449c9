"""Code that all commands share: options, errors, inputs, configuration files, tables, progress."""
