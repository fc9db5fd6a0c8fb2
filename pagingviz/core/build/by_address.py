"""Kernels that are called through their address, so that their code is not compiled into every kernel that calls them.

numba compiles the code of whatever a kernel calls into that kernel, and again into whatever calls that one: for all kernels
together that is three times the work. A kernel with this decorator is compiled once. Its address stands in the machine's
record, and its callers jump there. An address belongs to one process and is no state: `connect` writes all of them into each
new record.
"""

import inspect

from pagingviz.arch.state import BY_ADDRESS, CPU_DTYPE, SYS_DTYPE
from pagingviz.core.build.jit import INNER, PLAIN

if PLAIN:

    def by_address(kernel):
        """PAGINGVIZ_PLAIN=1: an ordinary call."""
        return kernel

    def compile_by_address():
        """PAGINGVIZ_PLAIN=1: nothing to compile."""
        return ()

    def connect(sys):
        """PAGINGVIZ_PLAIN=1: nothing is called through an address."""

else:
    import numba
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    _BY_NAME = {
        "s": numba.from_dtype(SYS_DTYPE),
        "c": numba.from_dtype(CPU_DTYPE),
        "a": types.Array(types.uint64, 1, "C"),
        "cpus": types.Array(numba.from_dtype(CPU_DTYPE), 1, "C"),
    }
    _kernels: dict[str, object] = {}
    _addresses: dict[str, int] = {}

    def by_address(kernel):
        """As `jit`, for a kernel in the list state.BY_ADDRESS. Its first parameter is `s`; the types follow from the names.

        What this returns makes the code of a call: it loads the address from the record at `s`, and calls it as numba's own
        functions call each other, passing an exception on.
        """
        dispatcher = numba.njit(cache=True, **INNER)(kernel)
        names = list(inspect.signature(kernel).parameters)
        wanted = tuple(_BY_NAME.get(name, types.uint64) for name in names)
        slot = _BY_NAME["s"].offset("addresses") + 8 * BY_ADDRESS.index(kernel.__name__)

        def typer(typing, *args):
            dispatcher.compile(wanted)
            overload = dispatcher.overloads[wanted]

            def call(context, builder, _signature, values):
                values = [
                    context.cast(builder, v, have, want) if have != want else v
                    for v, have, want in zip(values, args, wanted, strict=True)
                ]
                convention = context.call_conv
                address = builder.gep(builder.bitcast(values[0], cgutils.voidptr_t), [cgutils.intp_t(slot)])
                signature = convention.get_function_type(overload.fndesc.restype, overload.fndesc.argtypes)
                function = builder.load(builder.bitcast(address, signature.as_pointer().as_pointer()))
                status, result = convention.call_function(
                    builder, function, overload.fndesc.restype, overload.fndesc.argtypes, values
                )
                with cgutils.if_unlikely(builder, status.is_error):
                    convention.return_status_propagate(builder, status)
                return result

            return overload.signature.return_type(*args), call

        scope = {"typer": typer}
        exec(f"def {kernel.__name__}(typing, {', '.join(names)}): return typer(typing, {', '.join(names)})", scope)  # noqa: S102
        caller = intrinsic(scope[kernel.__name__])
        caller.kernel = dispatcher
        _kernels[kernel.__name__] = (dispatcher, wanted)
        return caller

    def compile_by_address():
        """Compile all these kernels, or load them from the cache: one for each step of this generator.

        Yields how many are done and how many there are.
        """
        for done, name in enumerate(BY_ADDRESS):
            if name not in _addresses:
                dispatcher, wanted = _kernels[name]
                dispatcher.compile(wanted)
                overload = dispatcher.overloads[wanted]
                _addresses[name] = overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name)
                yield done + 1, len(BY_ADDRESS)

    def connect(sys):
        """Write the addresses of all these kernels into a record SYS_DTYPE[1]; the first call compiles or loads them."""
        for _ in compile_by_address():
            pass
        sys["addresses"][0, :] = [_addresses[name] for name in BY_ADDRESS]
