"""Writers of products and of what stands beside them."""
