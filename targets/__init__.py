"""What an app or firmware developer takes: one folder per target."""
