"""The playground on a terminal: addresses by ExternalService, keys that switch their backends, and a log."""

from collections.abc import Iterable
from contextlib import suppress
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, RichLog, Static

from playground.backends import Mode
from playground.journal import Entry
from playground.page import described
from playground.snapshot import AddressRow, ParentRow, Snapshot, snapshot
from playground.stack import Playground

REFRESH_SECONDS = 0.5
INTERRUPTED = 130
MOST_SECONDS = 60.0
COLUMNS = ("Address", "Backend", "State", "Failed", "Endpoints", "Last probe")

Row = AddressRow | ParentRow

HELP = """\
Up, Down    choose an address
k           kill its backend: connections are refused
s           make it slow, by as many seconds as you write
e           make it answer 500 (HTTP and HTTPS), or NOT_SERVING (gRPC)
t           stall it: connections are accepted and get no response
r           revive it
x           kill the sidecar and start it again: nothing is lost
Enter       details of the chosen line
/           filter by a part of a name, an address, a state or a reason; Escape ends it
Tab         move between the table and the log
?           this help
q, Ctrl-C   quit; nothing is left behind"""


class Box(ModalScreen[None]):
    """A text on top of the screen until Escape, Enter or q."""

    CSS = """
    Box { align: center middle; }
    Box > VerticalScroll { width: 90%; max-width: 100; height: auto; max-height: 80%; border: round $primary; padding: 0 1; background: $surface; }
    Box Static { height: auto; }
    """  # noqa: E501 - CSS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,question_mark", "dismiss", "Close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = Text(self._title).markup
            yield Static(self._text, markup=False)
        yield Footer()


class Seconds(ModalScreen[float | None]):
    """Asks for the seconds of a slow backend; None if cancelled."""

    CSS = """
    Seconds { align: center middle; }
    Seconds > Input { width: 60; max-width: 95%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def compose(self) -> ComposeResult:
        field = Input("5", type="number", max_length=6)
        field.border_title = f"Seconds, up to {MOST_SECONDS:g}; Enter sets them, Escape cancels"
        yield field
        yield Footer()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            seconds = float(event.value)
        except ValueError:
            seconds = 0.0
        if 0 < seconds <= MOST_SECONDS:
            self.dismiss(seconds)
        else:
            self.notify(f"write a number above 0, up to {MOST_SECONDS:g}", severity="warning")


class Driver(LinuxDriver):
    """Queues output without a limit: a terminal that does not read (Ctrl-S) does not block the event loop.

    Drops input that is not UTF-8, such as a letter of a terminal with another encoding.
    """

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self._writer_thread is not None:
            self._writer_thread._queue.maxsize = 0

    def run_input_thread(self) -> None:
        while not self.exit_event.is_set():
            with suppress(UnicodeDecodeError):
                super().run_input_thread()


class PlaygroundApp(App[int]):
    """Returns the exit status; `problem` is the error that ended the playground, if any. `url` is the web page."""

    TITLE = "External Service Operator playground"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #links { height: auto; color: $text-muted; }
    #filter { display: none; height: 3; }
    #filter.shown { display: block; }
    #addresses { height: auto; max-height: 55%; }
    #totals { height: auto; color: $text-muted; }
    #log { height: 1fr; min-height: 3; border-top: solid $primary; }
    .-short #links, .-short #totals, .-short #log { display: none; }
    Screen.-short { overflow: hidden; }
    .-short #addresses { height: 1fr; max-height: 100%; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-short"), (15, "-tall")]  # noqa: RUF012 - textual's own annotation
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "switch('refuse')", "Kill"),
        Binding("s", "slow", "Slow"),
        Binding("e", "switch('500')", "500"),
        Binding("t", "switch('stall')", "Stall"),
        Binding("r", "switch('healthy')", "Revive"),
        Binding("x", "restart", "Restart"),
        Binding("slash", "filter", "Filter"),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit_with(0)", "Quit"),
        Binding("escape", "clear", "Clear the filter", show=False),
        Binding("ctrl+c", f"quit_with({INTERRUPTED})", "Quit", show=False, priority=True),
    ]

    def __init__(self, playground: Playground, url: str, duration: float | None = None) -> None:
        super().__init__(driver_class=Driver)
        self.problem: Exception | None = None
        self._playground, self._journal = playground, playground.journal
        self._url, self._duration = url, duration
        self._rows: dict[str, Row] = {}
        self._now: Snapshot | None = None

    def compose(self) -> ComposeResult:
        yield Static(f"Page: {self._url}\nexport KUBECONFIG={self._playground.kubeconfig}", id="links", markup=False)
        yield Input(placeholder="name, address, state or reason", id="filter")
        yield DataTable[Text](id="addresses", cursor_type="row", zebra_stripes=True)
        yield Static("", id="totals", markup=False)
        yield RichLog(id="log", max_lines=1_000, wrap=True, markup=False, highlight=False)
        yield Footer()

    def on_mount(self) -> None:
        for name in COLUMNS:
            self._table.add_column(name, key=name)
        self._table.focus()
        for entry in self._journal.entries:
            self._write_entry(entry)
        self._journal.listeners.append(self._write_entry)
        self.set_interval(REFRESH_SECONDS, self._read)
        self._read()
        if self._duration is not None:
            self.set_timer(self._duration, lambda: self.exit(0))

    def on_unmount(self) -> None:
        self._journal.listeners.remove(self._write_entry)

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one("#addresses", DataTable)

    def _write_entry(self, entry: Entry) -> None:
        for log in self.query("#log").results(RichLog):  # it is gone when the application ends
            log.write(Text(str(entry)), expand=True)

    @work(exclusive=True, group="look", exit_on_error=False)
    async def _read(self) -> None:
        try:
            self._playground.check()
            self._now = await snapshot(self._playground)
        except Exception as problem:  # reported when the screen is gone
            self.problem = problem
            self.exit(1)
            return
        self._draw(self._now)

    def _draw(self, now: Snapshot) -> None:
        table, wanted = self._table, self.query_one("#filter", Input).value.strip().lower()
        rows = dict(_rows(now, wanted))
        if list(rows) != list(self._rows):
            kept = self._chosen
            table.clear()
            for key, row in rows.items():
                table.add_row(*_cells(row), key=key)
            table.move_cursor(row=list(rows).index(kept) if kept in rows else 1)
        else:
            for key, row in rows.items():
                for column, cell in zip(COLUMNS, _cells(row), strict=True):
                    if table.get_cell(key, column) != cell:
                        table.update_cell(key, column, cell, update_width=True)
        self._rows = rows
        lines = [*now.problems, now.totals] if rows or not wanted else [f'nothing matches "{wanted}"', now.totals]
        self.query_one("#totals", Static).update(Text("\n".join(lines)))

    @property
    def _chosen(self) -> str:
        """The key of the row under the cursor; empty if there is none."""
        keys = list(self._rows)
        return keys[self._table.cursor_row] if 0 <= self._table.cursor_row < len(keys) else ""

    def _address(self) -> AddressRow | None:
        row = self._rows.get(self._chosen)
        if isinstance(row, AddressRow):
            return row
        self.notify("choose a line with an address first; they are below the name of their ExternalService")
        return None

    def action_switch(self, mode: str) -> None:
        if row := self._address():
            self._switch(row.ip, Mode(mode))

    @work(exit_on_error=False)
    async def action_slow(self) -> None:
        if (row := self._address()) and (seconds := await self.push_screen_wait(Seconds())):
            self._switch(row.ip, Mode.SLOW, seconds)

    @work(exit_on_error=False)
    async def _switch(self, ip: str, mode: Mode, seconds: float | None = None) -> None:
        try:
            await self._playground.backends.set(ip, mode, seconds)
        except (LookupError, OSError) as problem:
            self._journal.add(str(problem))
        else:
            self._journal.add(f"you made the backend of {ip} {described(mode, seconds)}")

    @work(exit_on_error=False)
    async def action_restart(self) -> None:
        self._journal.add("you kill the sidecar")
        if await self._playground.restart_sidecar():
            self._journal.add("the sidecar is ready again")
        else:
            self._journal.add("the sidecar is being restarted already")

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_clear(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("shown")
        self._table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "filter" and self._now is not None:
            self._draw(self._now)

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._table.focus()

    def on_data_table_row_selected(self) -> None:
        if row := self._rows.get(self._chosen):
            title = row.ip if isinstance(row, AddressRow) else row.name
            self.push_screen(Box(title, "\n".join(_details(row))))

    def action_help(self) -> None:
        self.push_screen(Box("Keys", HELP))

    def action_quit_with(self, status: int) -> None:
        self.exit(status)


def _rows(now: Snapshot, wanted: str) -> Iterable[tuple[str, Row]]:
    """Each ExternalService that matches or has addresses that match, with those addresses."""
    for parent in now.parents:
        rows = [row for row in now.addresses if row.parent == parent.name]
        if wanted not in f"{parent.name} {parent.summary}".lower():
            rows = [row for row in rows if wanted in f"{row.ip} {row.state} {row.reason} {row.message}".lower()]
            if not rows:
                continue
        yield parent.name, parent
        for row in rows:
            yield f"{parent.name} {row.ip}", row


def _cells(row: Row) -> tuple[Text, ...]:
    if isinstance(row, ParentRow):
        count, healthy = f"{row.ready}/{row.addresses} ready", row.ready == row.addresses
        words = (row.name, "", count, "", "", row.summary)
        return tuple(Text(word, style="bold" if healthy else "bold yellow") for word in words)
    evidence = row.evidence if row.last_probe else f"{row.reason}: {row.message}"
    colour = "green" if row.ready else "red"
    return (
        Text(f"  {row.ip}"),
        Text(row.backend),
        Text(("● " if row.ready else "✕ ") + row.state, style=colour),
        Text(str(row.failures), style="red" if row.failures else ""),
        Text(row.published),
        Text(evidence),
    )


def _details(row: Row) -> Iterable[str]:
    if isinstance(row, ParentRow):
        yield f"{row.ready} of {row.addresses} addresses are ready. Status: {row.summary or 'none yet'}"
        for kind, word in row.children.items():
            yield f"{kind:11}{word}"
        return
    yield f"Of          {row.parent}"
    yield f"Played by   {row.connects_to}, backend: {row.backend}"
    yield f"Status      {row.state}, {row.reason}: {row.message}"
    yield f"Last probe  {row.evidence}"
    yield f"Failures    {row.failures} in a row"
    yield f"Endpoints   {row.published}"
