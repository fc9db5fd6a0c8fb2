"""The recordings on Bochs' emulation of VMX (EPT) and SVM (NPT): one row a script, with the processors it ran on."""

from __future__ import annotations

from dataclasses import dataclass

from pagingviz.evidence.xen.recording import BOCHS_EPT, BOCHS_NPT, QEMU_SECOND, Family, Recording

_FOLDER = "ept/"


@dataclass(frozen=True)
class _Variant:
    """A processor with Xen's options for it: words for a title, fields of the scenario, family."""

    words: str
    settings: dict[str, str]
    family: Family = BOCHS_EPT


_VARIANTS = {  # by the last part of a file's name
    "pml": _Variant("EPT, PML", {"core": "skylake"}),
    "pmls": _Variant("EPT, PML", {"core": "skylake"}),
    "nopml": _Variant("EPT, no-pml", {"core": "skylake", "pml": "0"}),
    "noad": _Variant("EPT, no-ad", {"core": "skylake", "ept_ad": "0"}),
    "execsp": _Variant("EPT, PML, exec-sp", {"core": "skylake", "exec_sp": "1"}),
    "npexec": _Variant("EPT, no-pml, exec-sp", {"core": "skylake", "pml": "0", "exec_sp": "1"}),
    "nehalem": _Variant("EPT of nehalem", {"core": "nehalem"}),
    "npt": _Variant("NPT of Bochs", {"core": "zen"}, BOCHS_NPT),
    "nptq": _Variant("NPT of QEMU", {"core": "zen"}, QEMU_SECOND),
}


@dataclass(frozen=True)
class _Script:
    """A script: words for the titles, what its recordings show, the variants it ran on, and what the domain was."""

    words: str
    about: str
    variants: tuple[str, ...]
    guest: str = "hvm64"
    settings: tuple[tuple[str, str], ...] = ()
    shared: bool = False  # whether the script is one of the first recordings', too


_SCRIPTS = {  # by file name
    "trace": _Script(
        "Log-dirty rounds",
        "One misconfiguration for each 2 MiB touched. Without PML one violation for each page stored to, with it none.",
        ("pml", "nopml", "noad", "execsp", "nehalem", "npt", "nptq"),
        shared=True,
    ),
    "sweep": _Script(
        "Sweep",
        "With PML the guest's own page tables are dirty in every round, without it they are not.",
        ("pml", "nopml"),
        shared=True,
    ),
    "pml": _Script(
        "Filling the log",
        "A log of 512 entries, flushed at the next store that finds it full; what is logged when log-dirty goes off is lost.",
        ("pmls", "nopml", "execsp"),
    ),
    "pmlpool": _Script(
        "The log's page", "ENABLE with a pool that has no page left for the log, or none for the bitmap.", ("pmls",)
    ),
    "exec": _Script(
        "Fetches in superpages",
        "Superpage leaves that are not executable: the first fetch in one turns it into 512 leaves of 4 KiB.",
        ("pmls", "nopml", "execsp", "nehalem", "npt"),
    ),
    "exec2": _Script("Fetches while log-dirty", "The same while log-dirty is on.", ("pmls", "nopml", "nehalem")),
    "ad": _Script("A and D of the guest", "A walk that sets A or D in a guest's table is a store to that table.", ("nopml",)),
    "off": _Script("Operations out of turn", "CLEAN, PEEK and OFF while log-dirty is off; ENABLE twice.", ("nopml",)),
    "pt": _Script(
        "Page-table writes", "With log-dirty off nothing the guest does with its tables exits.", ("pml", "nopml"), shared=True
    ),
    "pae": _Script(
        "PAE guest",
        "A three-level guest: on EPT its PDPT is read into registers and never logged, on NPT it is dirty in every round.",
        ("pmls", "nopml", "execsp", "nehalem", "npt"),
        "pae",
        shared=True,
    ),
    "used": _Script(
        "The pool in use", "How many pages of the pool are in use, asked by shrinking it to nothing.", ("pml", "nopml", "npt")
    ),
    "smp": _Script(
        "Two vCPUs",
        "A log for each vCPU; what one has dirtied the other does not log again.",
        ("pmls",),
        settings=(("vcpus", "2"),),
    ),
    "big": _Script(
        "2304 MiB",
        "The first GiB is one leaf: its first split makes 262,144 leaves of 4 KiB, and takes 513 pages.",
        ("pmls", "npexec"),
        settings=(("frames", "589824"), ("superpages", "2")),
    ),
    "dump": _Script("Leaves, step by step", "Xen's own dump of all EPT leaves after each step.", ("pml",)),
    "dump2": _Script("Leaves", "Xen's own dump of all EPT leaves at two moments.", ("nopml",)),
}
_WITH_TRACE = (  # scripts and variants that xentrace recorded as well
    *(("trace", variant) for variant in ("pml", "nopml", "noad", "execsp", "nehalem", "npt")),
    ("pae", "npt"),
)


def _recording(name: str, variant: str) -> Recording:
    script, kind = _SCRIPTS[name], _VARIANTS[variant]
    file = f"{name.replace('dump2', 'dump')}_{variant}"
    return Recording(
        f"{name}-{'pml' if variant == 'pmls' else variant}",
        f"{kind.words}: {script.words}",
        f"{'' if script.shared else _FOLDER}{name}.ld",
        script.guest,
        f"{_FOLDER}{file}.jsonl",
        f"{_FOLDER}xentrace_{file}.csv" if (name, variant) in _WITH_TRACE else "",
        settings=kind.settings | dict(script.settings),
        about=script.about,
        road="hap",
        hw=f"{_FOLDER}hw_{file}.csv" if kind.family is BOCHS_EPT else "",
        dumps=f"{_FOLDER}dumps.txt" if name.startswith("dump") else "",
        family=kind.family,
    )


ON_BOCHS = tuple(_recording(name, variant) for name, script in _SCRIPTS.items() for variant in script.variants)
