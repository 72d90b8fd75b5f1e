"""What commands need to talk with a person."""
