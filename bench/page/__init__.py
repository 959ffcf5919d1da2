"""`arraybench report`: a page of one run or several that opens offline, its charts as pictures, a summary for a pull request."""
