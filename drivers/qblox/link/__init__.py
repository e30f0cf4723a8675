"""What worker and rack say to each other, and the sockets they say it over."""
