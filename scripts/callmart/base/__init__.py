"""What every other package uses: settings, errors, our own YAML and SQL files, keys, and the raw format."""
