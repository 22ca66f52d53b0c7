"""The demo, `make demo`, and the end-to-end test beside it: redis and a batch job on nodes with CXL memory."""
