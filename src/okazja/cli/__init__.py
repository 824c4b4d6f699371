"""The command line, one file a command; options are parsed once into frozen dataclasses."""
