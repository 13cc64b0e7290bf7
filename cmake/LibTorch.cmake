# Defines decovec_libtorch: LibTorch as an imported target of our own.
#
# find_package(Torch) of the PyPI wheel asks for a CUDA toolkit even when only the CPU libraries are linked; this target
# needs the wheel's headers, libtorch_cpu and libc10 alone. LibTorch's include folder carries its own fmt and protobuf
# headers, so it comes after the system's (-idirafter).
#
# DECOVEC_LIBTORCH: the folder that holds LibTorch's include/ and lib/.

if(NOT TARGET decovec_libtorch)
  unset(decovec_libtorch_problem)
  if(EXISTS "${DECOVEC_LIBTORCH}/lib/libtorch_cpu.so" AND EXISTS "${DECOVEC_LIBTORCH}/include/ATen/ATen.h")
    add_library(decovec_libtorch INTERFACE IMPORTED)
    target_compile_options(decovec_libtorch INTERFACE
      "SHELL:-idirafter ${DECOVEC_LIBTORCH}/include"
      "SHELL:-idirafter ${DECOVEC_LIBTORCH}/include/torch/csrc/api/include")
    # The NVIDIA libraries that libtorch_cpu names are found at run time through its own RPATH.
    target_link_libraries(decovec_libtorch INTERFACE
      "${DECOVEC_LIBTORCH}/lib/libtorch_cpu.so" "${DECOVEC_LIBTORCH}/lib/libc10.so" "-Wl,--allow-shlib-undefined")
  else()
    set(decovec_libtorch_problem
        "LibTorch: expected include/ATen/ATen.h and lib/libtorch_cpu.so in '${DECOVEC_LIBTORCH}'; run scripts/setup.sh, or pass -DDECOVEC_LIBTORCH=<folder with include/ and lib/>")
  endif()
endif()
