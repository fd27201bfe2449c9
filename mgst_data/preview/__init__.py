"""Pictures for people: contact sheets and reports."""
