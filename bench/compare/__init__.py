"""`arraybench compare`: what is faster or slower in one run than in another."""
