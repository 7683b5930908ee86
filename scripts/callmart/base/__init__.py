"""What everything else stands on: settings, errors, our own files, keys, and the words of the raw format."""
