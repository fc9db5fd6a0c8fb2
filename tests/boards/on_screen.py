"""A board as a page would show it, without a browser: for tests."""

from pagingviz.boards import registry
from pagingviz.boards.board import Options
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.scene import Scene

MACHINE = (*registry.HOME, "nested-tables")  # the boards that light up with each other's cells


class Shown:
    """The board with this id at the present moment of a simulation, whenever it is asked."""

    def __init__(self, sim, board, **options):
        self.sim, self.board, self.options = sim, registry.REGISTRY[board], Options(**options)
        self.plan = self._plan(board)

    def _plan(self, board):
        return registry.make_plan(board, self.sim.scenario, self.sim.work, self.options)

    @property
    def scene(self):
        return (MigrationScene if self.plan.id in registry.MIGRATION else Scene)(self.sim)

    @property
    def grid(self):
        """Cell words, uint16[height, width]."""
        return self.board.cells(self.scene, self.plan)

    @property
    def flat(self):
        return self.grid.reshape(-1)

    @property
    def caption(self):
        return self.board.caption(self.scene, self.plan)

    @property
    def alt(self):
        return self.board.alt(self.scene, self.plan)

    @property
    def table(self):
        return self.board.table(self.scene, self.plan)

    def card(self, cell):
        """The card of a cell as the browser gets it, with the cells of the other boards beside it; None where there is none."""
        others = registry.MIGRATION if self.plan.id in registry.MIGRATION else MACHINE
        plans = [self.plan if board == self.plan.id else self._plan(board) for board in others]
        found = registry.card(self.scene, plans, self.plan, cell)
        return found.wire() if found else None
