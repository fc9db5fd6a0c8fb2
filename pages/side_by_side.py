"""Side by side: two to four machines with the same work under one clock, and what each has cost."""

from pagingviz.ui.side_by_side import side_by_side_page

side_by_side_page(
    "Side by side",
    (
        "The clock is the tick, one access of the guest. Every machine is at the same tick, and is what it would be alone; a "
        "guest that its migration has suspended stands still while ticks pass.",
        "Commands, and fields that you change in the sidebar, concern every machine, except for the fields in which it "
        "differs.",
        "N and P look for events of the first machine. M opens the tick of the first machine alone; the others show it as it "
        "ends.",
        "Point at a frame, and it lights up on the maps of all machines. The tables of a PV guest take more frames, so what "
        "its programs use lies in other frames than on the other roads.",
    ),
)
