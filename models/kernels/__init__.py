"""Fused kernels behind ``models.layers`` and the losses: Numba on the CPU, Triton on CUDA."""
