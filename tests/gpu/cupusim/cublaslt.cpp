// cuBLASLt stand-in: the library must be there and tell a version; nothing in it is called.
extern "C" int cublasLtGetVersion() { return 130000; }
