"""The study's pages: ``researcher`` for those who label crops and review captions."""
