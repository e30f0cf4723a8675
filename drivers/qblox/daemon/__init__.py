"""The process that owns a rack: it takes requests, keeps a journal, and runs one job at a time."""
