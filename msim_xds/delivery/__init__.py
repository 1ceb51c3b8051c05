"""Answers of the asynchronous exchange: kept until they are delivered, and delivered."""
