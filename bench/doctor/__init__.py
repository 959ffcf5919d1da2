"""`arraybench doctor`: what this machine can run, what holds it back, what to type. Probing, judging and telling are apart."""
