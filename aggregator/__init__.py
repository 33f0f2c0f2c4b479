"""The coordinating side: it combines updates and judges models, and never holds a model class or an image."""
