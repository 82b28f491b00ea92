"""Pictures drawn from a seed: objects, backgrounds, light and wear, by integers and Pillow."""
