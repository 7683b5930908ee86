"""The registry of customers: reads its file, plans the changes and applies them."""
