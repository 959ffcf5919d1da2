"""`arraybench explain`: a speed-up as the product of its steps, from the loop to the GPU."""
