"""The kernels: the rules of the machine, as functions that change arrays and integers and know nothing else.

What every kernel is given:

- `s`, the state: the machine's record with its registers and counters (arch/state.py: SYS_DTYPE).
  The register `s.o_x` is the arena index at which the region `x` of the arena begins.
- `c`, the vCPU that acts: its record (CPU_DTYPE) with the TLB and what its last walk has found; `c.id` is its number. Where any
  vCPU may be meant, `cpus` are the records of all.
- `a`, the arena: one array of 64-bit words that holds all tables, lists and bitmaps in regions (arch/state.py: ARENA).
- `r`, in the few functions that Python calls (`@entry`): the array of length 1 whose item is the record.

What the other arguments are, wherever nothing else is written:

- `gva`: a guest-virtual address in bytes. `gfn`, `mfn`: numbers of frames of 4 KiB, the guest's and the machine's. `page`:
  number of a page of the pool, which is also its mfn. A frame number is never called an address.
- `at`: an arena index, mostly that of a table entry. `i`: number of an entry in its table. `gent`: the word of a guest entry.
- `level`: 1 for the table whose entries map pages, up to 4 for the root. `levels`: how many levels the guest's tables have.
- `kind`: what an access does (x86.FETCH, READ, WRITE), or for a shadow its type (xen.SH_*). `user`: 1 at CPL 3, else 0.
- `vcpu`: number of a vCPU.

What a kernel gives back: nothing, a number, True or False, or a code that its text names. `NONE` (all ones) stands for "there
is none". It raises nothing (only `emit` can end a tick in its middle, when somebody wants to see that moment), and it allocates
nothing. What it does visibly it writes as an event (events.py). A whole access returns the word of the fault that the guest
gets: x86.FAULT with the error code, or x86.GP; 0 means that there is none.

Every number is a uint64, because numba makes a float of a uint64 and a signed integer together: hence the constants ZERO, ONE,
U(4), and U(i) around the variable of a loop. `kernel(s, c, a, ...)` is compiled when Python first reaches it (build/jit.py).

Each kernel names the function of Xen, by its file, or the section of a processor's manual whose rule it follows. What it leaves
out of that rule is written at the head of its file.
"""
