"""The text of lesson 11, and what is known of each of its tokens."""
