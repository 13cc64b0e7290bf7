# Defines decovec_libtorch: LibTorch as an imported target of our own.
#
# find_package(Torch) of the PyPI wheel asks for a CUDA toolkit even when only the CPU libraries are linked;
# this target needs the wheel's headers, libtorch_cpu and libc10 alone. LibTorch's include folder carries its own
# fmt and protobuf headers, so it comes after the system's (-idirafter).
#
# DECOVEC_LIBTORCH: the folder that holds LibTorch's include/ and lib/.

if(NOT TARGET decovec_libtorch)
  find_library(DECOVEC_TORCH_CPU_LIBRARY torch_cpu PATHS "${DECOVEC_LIBTORCH}/lib" NO_DEFAULT_PATH NO_CACHE)
  find_library(DECOVEC_C10_LIBRARY c10 PATHS "${DECOVEC_LIBTORCH}/lib" NO_DEFAULT_PATH NO_CACHE)
  if(NOT DECOVEC_TORCH_CPU_LIBRARY OR NOT DECOVEC_C10_LIBRARY OR NOT EXISTS "${DECOVEC_LIBTORCH}/include/ATen/ATen.h")
    set(decovec_libtorch_problem
        "LibTorch: expected include/ATen/ATen.h and lib/libtorch_cpu.so in '${DECOVEC_LIBTORCH}'; run scripts/setup.sh, or pass -DDECOVEC_LIBTORCH=<folder with include/ and lib/>")
  else()
    add_library(decovec_libtorch INTERFACE IMPORTED)
    target_compile_options(decovec_libtorch INTERFACE
      "SHELL:-idirafter ${DECOVEC_LIBTORCH}/include"
      "SHELL:-idirafter ${DECOVEC_LIBTORCH}/include/torch/csrc/api/include")
    target_link_libraries(decovec_libtorch INTERFACE
      "${DECOVEC_TORCH_CPU_LIBRARY}" "${DECOVEC_C10_LIBRARY}" "-Wl,-rpath,${DECOVEC_LIBTORCH}/lib" "-Wl,--allow-shlib-undefined")
  endif()
endif()
