"""Does it learn? Training on real people, testing on deepfakes of others."""
