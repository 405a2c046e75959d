"""An update of the weights: plain, by several processes, or recorded as CUDA graphs."""
