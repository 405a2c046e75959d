"""The attention kernels behind ``models.additive_attention``: Numba on the CPU, Triton on CUDA."""
