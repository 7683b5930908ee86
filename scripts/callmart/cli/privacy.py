"""`callmart privacy`: the requests of persons, from letter to answer."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import psycopg
import typer

from callmart.access import logins
from callmart.base import rights_of_persons
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of
from callmart.base.needles import SHORTEST
from callmart.base.person import Kind, Proof
from callmart.base.raw_format import LONGEST_PHASE
from callmart.base.rights_of_persons import Right
from callmart.base.secret_files import secret_file
from callmart.base.settings import settings
from callmart.cli import persons_asked
from callmart.cli.requests_shown import (
    print_cells,
    print_corrections,
    print_counts,
    print_kept,
    print_log,
    print_plan,
    print_proof,
    print_requests,
)
from callmart.cli.terminal import (
    Json,
    OneOfTwo,
    database,
    end_with,
    looking,
    out,
    plain,
    print_json,
    progress,
    secret,
)
from callmart.database import clock, lock, rotation
from callmart.database import ledger as records
from callmart.database.ledger_mending import Lost
from callmart.privacy import register
from callmart.privacy.register import Request

if TYPE_CHECKING:
    from callmart.privacy.package.sealing import Seal

app = typer.Typer(
    help="The requests of persons, from letter to answer: docs/privacy.md.", no_args_is_help=True
)

_REASONS = {"withdrawn": "withdrawn by the contact", "mistake": "entered by mistake"}

Number = Annotated[int, typer.Argument(min=1, help="The number of the request.")]
Customer = Annotated[int, typer.Option(min=1, help="The customer whose data it is.")]
AskedRight = Annotated[
    Right,
    typer.Option(
        "--right",
        help="What the letter asks for. `lifting` takes an objection, a restriction or a withdrawal back.",
    ),
]
Received = Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="When the letter came; by default today.")]
Checked = Annotated[
    Literal["code", "called-back", "in-person"],
    typer.Option(
        help="How the identity of the contact was checked: a code sent to the address in the registry, called back "
        "at the contract's number, or in person."
    ),
]


@contextmanager
def _officer() -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """The owner's connection, and that of the privacy officer, if the clock is believed."""
    with _believed() as owner, logins.connect(settings(), "privacy_officer") as officer:
        officer.autocommit = True  # no transaction is left open while a person answers a prompt
        yield owner, officer


@contextmanager
def _believed() -> Iterator[psycopg.Connection]:
    with database() as owner:
        rotation.refuse(owner)
        clock.believe(owner, settings())
        owner.commit()
        yield owner


def _day(received: str, owner: psycopg.Connection) -> date:
    day = clock.parse_day("--received", received) if received else clock.today(owner, settings())
    register.require_received(owner, day)  # before anything is asked
    return day


@app.command("open")
def open_(
    customer: Customer,
    kind: Annotated[Kind, typer.Option(help="Whom it is about.")],
    right: AskedRight = "erasure",
    received: Received = "",
) -> None:
    """Enter a request. Asks for the contact, and for the person it is about."""
    from callmart.privacy import subject

    rights_of_persons.require(right, kind)
    with _officer() as (owner, officer):
        day, key = _day(received, owner), subject.customer_key(owner, settings(), customer)
        asked_by = persons_asked.contact()
        contact = subject.asker(owner, customer, key, asked_by) if key else None
        person = None
        if key and register.is_authorised(officer, customer, contact):
            word = persons_asked.new_person(kind)
            person = subject.subject(key, kind, subject.normalised(owner, customer, key, kind, word))
        made_with = fingerprint_of(key) if key else None
        number = register.open_request(officer, customer, kind, person, day, contact, right, made_with)
        found = register.request(officer, number)
    out.print(
        f"request {number} of customer {customer}: answer it by {found.due} at the latest ({found.left}); "
        f"{found.next_step}"
    )


@app.command()
def forward(customer: Customer, right: AskedRight = "erasure", received: Received = "") -> None:
    """Enter that a person asked directly, and was sent to the customer. Nothing is kept of the person."""
    with _officer() as (owner, officer):
        number = register.forward(officer, customer, _day(received, owner), right)
    out.print(f"request {number}: send the letter on to customer {customer} today, and keep no copy")


@app.command(cls=OneOfTwo)
def verify(
    number: Number,
    how: Checked,
    alone: Annotated[
        bool | None,
        typer.Option(
            "--alone/--shared", help="Whether the number or id is one person's alone: the contact says so."
        ),
    ] = None,
    written_instruction: Annotated[
        bool,
        typer.Option(
            "--written-instruction",
            help="It is shared, and the contact asked in writing to do it all the same.",
        ),
    ] = False,
    by_consent: Annotated[
        bool | None,
        typer.Option(
            "--by-consent/--not-by-consent",
            help="Of a withdrawal: whether consent was the reason to have the data, so that they are erased.",
        ),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Another authorised contact goes on with the request; asks for whom."
        ),
    ] = False,
) -> None:
    """Record that the identity of the contact was checked, and what the contact says of the number or id."""
    from callmart.privacy.package import shelf

    with _officer() as (owner, officer):
        found = register.request(officer, number)
        contact, person, made_with = (
            persons_asked.taking_over(owner, found) if take_over else (None, None, None)
        )
        register.verify(
            officer,
            number,
            how.replace("-", "_"),
            alone=alone,
            instructed=written_instruction,
            by_consent=by_consent,
            taking_over=contact,
            person=person,
            made_with=made_with,
        )
        if take_over:  # the contact before could open it
            shelf.forget(settings(), number)
        found = register.request(officer, number)
    out.print(f"request {number}: the contact is known; {found.next_step}")


@app.command()
def plan(
    number: Number,
    until: Annotated[
        str,
        typer.Option(
            metavar="YYYY-MM-DD",
            help="The last day that is concerned, by default the last one that is over; of a rectification that is "
            "planned again, the one before.",
        ),
    ] = "",
) -> None:
    """Show what a request would change, in counts, and in which queues and days. Changes nothing of it."""
    from callmart.privacy import correcting, persons, procedure

    with _officer() as (owner, officer):
        found = register.request(officer, number)
        day = clock.parse_day("--until", until) if until else None
        # What is corrected stays the same, however often it is planned.
        before = found.until if found.asked_right == "rectification" and not day else None
        end = before or persons.end_of(owner, found.customer_id, day)
        key, person, ids = persons_asked.person(owner, officer, found, end)
        planning = persons_asked.procedure(owner, found, key)
        others = persons.others(owner, person, ids)
        owner.commit()
        with persons_asked.blocking(officer, number), procedure.working(owner, settings()) as work:
            planned = planning.plan(procedure.Case(work, person, key, number))
        register.note_plan(officer, number, planned.hash, end)
        register.note_found(owner, number, planned.hash, planned.counts)
        found = register.request(officer, number)
        print_plan(found, register.evidence(officer, number))
    if isinstance(planning, correcting.Correction):
        out.print(
            "where one of the two agents worked, staffing and what agents did can change, on these days and up to "
            f"{LONGEST_PHASE.days} days later"
        )
    else:
        print_cells(planned.cells.known, again=found.asked_right == "lifting")
    needs_something = isinstance(planning, correcting.Correction) or found.asked_right == "lifting"
    if needs_something and not any(counts.total() for counts in planned.counts.values()):
        out.print(
            "[yellow]there is nothing to do:[/] ask the contact whether that is right; if so, go on, and the letter "
            f"says it; if not, end it with `callmart privacy refuse {number} --because mistake`"
        )
    for other in others:
        out.print(
            f"[yellow]perhaps the same person:[/] {plain(other.shown)} (the same {other.reasons}); ask the contact, "
            "and plan again with all ids that are"
        )
    out.print(f"plan {planned.hash} of request {number}; {found.next_step}")


@app.command()
def do(
    number: Number,
    public_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of an access or portability: the public key (age or SSH) of whoever asked. Without it the package "
            "gets a passphrase.",
        ),
    ] = None,
) -> None:
    """Do what was planned and approved. After a crash it goes on."""
    from callmart.privacy import places, procedure, renaming
    from callmart.privacy.package import shelf

    with _officer() as (owner, officer), progress() as on_step:
        found = register.request(officer, number)
        seal = _seal(found, public_key)
        key, person, _ = persons_asked.person(owner, officer, found, found.until)
        doing = persons_asked.procedure(owner, found, key)
        finished = count(1)

        def control(place: str, counts: Counter[str]) -> None:
            register.note_step(owner, number, place, "control", counts)

        def note(place: str, counts: Counter[str]) -> None:
            register.note_step(owner, number, place, "treat", counts)
            on_step("do", place, next(finished), len(places.PLACES))

        begin = partial(register.begin_doing, officer, number)
        has_control = any(one.step == "control" for one in register.evidence(officer, number))
        with persons_asked.blocking(officer, number), procedure.working(owner, settings()) as work:
            work.seal = seal
            case = procedure.Case(work, person, key, number)
            if doing is renaming:
                persons_asked.wrong_name(case)
            doing.do(case, procedure.Steps(begin, control, note, not has_control))
        evidence = register.evidence(officer, number)
        found = register.request(officer, number)
    print_counts(evidence, "control", "treat")
    if seal:
        out.print(f"package: {plain(shelf.path(settings(), found.customer_id, number))}")
    if seal and seal.passphrase:
        out.print(
            f"passphrase: {seal.passphrase}\ntell it to the contact by another way than the package, now: nobody can "
            "show it again"
        )
    out.print(f"request {number}: everything is treated; {found.next_step}")


def _seal(found: Request, public_key: Path | None) -> "Seal | None":
    """How the package of a request is encrypted; None if the right makes none."""
    from callmart.privacy import by_right
    from callmart.privacy.package import sealing

    if by_right.makes_package(found):
        return sealing.to_key(public_key) if public_key else sealing.with_passphrase()
    if public_key:
        raise UserError(
            f"request {found.number} is for {found.asked_right}, which makes no package: leave out --public-key"
        )
    return None


@app.command()
def prove(number: Number) -> None:
    """Look in all places whether it is done."""
    from callmart.privacy import places, procedure

    left, attested = 0, list[str]()
    with _officer() as (owner, officer), progress() as on_step:
        found = register.request(officer, number)
        key, person, _ = persons_asked.person(owner, officer, found, found.until)
        proving = persons_asked.procedure(owner, found, key)
        with lock.exclusive(owner):  # nobody does the request meanwhile
            register.begin_proving(officer, number)
        finished = count(1)

        def note(place: str, proof: Proof) -> None:
            nonlocal left
            left += proof.left.total()
            attested.extend(f"a person attests {place}: {what}" for what in proof.to_attest)
            counts = {**proof.searched, "left": proof.left.total(), "to_attest": len(proof.to_attest)}
            register.note_step(owner, number, place, "prove", counts)
            on_step("prove", place, next(finished), len(places.PLACES))

        with persons_asked.blocking(officer, number), procedure.working(owner, settings()) as work:
            whole = proving.prove(procedure.Case(work, person, key, number), note)
        evidence = register.evidence(officer, number)
        found = register.request(officer, number)
    print_proof(evidence)
    for one in attested:
        out.print(plain(one), soft_wrap=True)
    if whole:
        out.print(
            f"sought as whole values of columns only: {several(whole, 'word')}, shorter than {SHORTEST} bytes or part "
            "of another"
        )
    if left:
        end_with([f"request {number}: {found.next_step}"])
    proved = (
        "nothing is left" if found.asked_right in rights_of_persons.TAKING_AWAY else "all is as it should be"
    )
    out.print(f"request {number}: {proved}; {found.next_step}")


@app.command()
def replay(
    ledger_lost: Annotated[
        Lost | None,
        typer.Option(help="Why there is no privacy ledger any more, not even its copy. It is an incident."),
    ] = None,
) -> None:
    """Let the ledger, its copy and the database say the same again, and erase again who came back."""
    from callmart.access import memberships
    from callmart.privacy import procedure, replaying

    with database() as owner, clock.guarded(owner, settings()), procedure.working(owner, settings()) as work:
        done = replaying.replay(owner, settings(), partial(replaying.erase, work), ledger_lost)
        problems = done.problems + replaying.uncorrected(owner) + memberships.sync(owner, settings())
        problems += replaying.follow(work, done.changed)
    out.print(
        f"replay: {several(done.entries, 'line')} of the ledger; {several(len(done.customers), 'customer')} had lost "
        f"something, {several(done.persons, 'person')} erased again, {several(done.objectors, 'agent')} left out or "
        "shown again as the ledger says"
    )
    end_with(problems)


@app.command()
def ledger(
    entry: Annotated[
        int, typer.Option(min=1, help="The number of the ledger's last line, as the letter says.")
    ],
    digest: Annotated[str, typer.Option(help="Its digest, as the letter says.")],
) -> None:
    """Compare an answer that was sent with the ledger of erasures, of which it names the last line."""
    if not records.has(settings(), entry, "".join(digest.split()).lower()):
        end_with(
            [
                f"line {entry} of the privacy ledger is not that of the letter: type it again; if it stays so, the "
                "ledger was cut or replaced, and the right one has to be brought back"
            ]
        )
    out.print(f"line {entry} of the privacy ledger is that of the letter")


@app.command()
def approve(
    number: Number,
    plan: Annotated[
        str, typer.Option(metavar="HASH", help="The plan that was shown, without asking again.")
    ] = "",
) -> None:
    """Approve a plan: for another person than the officer, with the approver's password. Shows it first."""
    with (
        _believed(),
        logins.connect(
            settings(), "privacy_approver", secret("password of the privacy approver")
        ) as approver,
    ):
        approver.autocommit = True
        found = register.request(approver, number)
        if found.until is None:
            raise UserError(f"request {number} is {found.state} and has no plan: {found.todo}")
        if not plan:
            print_plan(found, register.evidence(approver, number))
            try:
                agreed = typer.confirm(f"Approve plan {found.plan_hash}?", err=True)
            except typer.Abort as left:
                if not isinstance(left.__context__, EOFError):  # Ctrl-C
                    raise
                raise UserError(
                    f"request {number} was not approved: standard input has ended before the answer; write y there, "
                    "or name the plan by --plan"
                ) from None
            if not agreed:
                raise UserError(f"request {number} was not approved")
        register.approve(approver, number, plan or str(found.plan_hash))
        found = register.request(approver, number)
    out.print(f"request {number}: approved; {found.next_step}")


@app.command()
def answer(
    number: Number,
    file: Annotated[Path | None, typer.Option("--out", help="Write the letter to this file.")] = None,
) -> None:
    """Write the letter that answers a request, and record that it was answered. Again, it only writes the letter."""
    from callmart.privacy import by_right, letters
    from callmart.privacy.package import shelf

    with _officer() as (owner, officer):
        found = register.request(officer, number)
        if found.answered_at is None:
            # What is missing for the letter is said before the answer is recorded.
            letters.backup_kept_days(settings())
            if by_right.makes_package(found) and found.state == "proving":
                shelf.require(settings(), found.customer_id, number)
            register.answer(officer, number)
            found = register.request(officer, number)
        letter = letters.answer(owner, settings(), found, register.evidence(officer, number))
    if file is None:
        print(letter)
        return
    secret_file(file, f"{letter}\n")
    out.print(
        f"request {number}: answered; send {plain(file.resolve())} to the contact, then {found.next_step}"
    )


@app.command()
def refuse(
    number: Number,
    because: Annotated[
        Literal["authority", "identity", "no-such-customer", "withdrawn", "mistake"],
        typer.Option(
            help="The contact may not speak for the customer, the identity could not be checked, the customer has "
            "left, the contact withdrew the request, or it was entered by mistake."
        ),
    ],
) -> None:
    """End a request before anything is done. Whether it is right is the customer's to judge, not ours."""
    # Otherwise a `do` at work could make a package that nobody forgets.
    with _officer() as (owner, officer), clock.guarded(owner, settings()):
        register.refuse(officer, number, _REASONS.get(because, because.replace("-", " ")))
        _forget(number)
        why = register.request(officer, number).refused_why
    if because == "mistake":
        out.print(f"request {number}: {why}; if the letter asks for something else, enter that")
        return
    done = f"{why}; confirm that" if because == "withdrawn" else "refused; write why"
    out.print(f"request {number}: {done} to the contact (docs/privacy.md has the letter)")


@app.command()
def close(
    number: Number,
    attested: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE", help="What a person had to do there is done. May be given several times."
        ),
    ] = None,
) -> None:
    """Close a request that was answered."""
    with _officer() as (_, officer):
        for place in attested or ():
            register.attest(officer, number, place)
        register.close(officer, number)
        _forget(number)
    out.print(f"request {number}: closed; the register keeps it for five years")


def _forget(number: int) -> None:
    """Remove what is kept of a request that has ended."""
    from callmart.privacy import kept
    from callmart.privacy.package import shelf

    kept.forget(settings().home, number)
    shelf.forget(settings(), number)


@app.command()
def report(customer: Customer, as_json: Json = False) -> None:
    """Show what is kept of a customer, of whom, and every request of theirs: in counts."""
    from callmart.privacy import reporting

    with looking() as connection:
        kept = reporting.kept(connection, settings(), customer)
        requests = [one for one in register.requests(connection) if one.customer_id == customer]
    if as_json:
        document = {"kept": list(map(asdict, kept)), "requests": list(map(asdict, requests))}
        print_json(document)
        return
    print_kept(kept)
    if requests:
        print_requests(requests)
    else:
        out.print("no requests")


@app.command()
def corrections(as_json: Json = False) -> None:
    """Show which events are given to another agent than they seem to be of. Agents are shown as their keys begin."""
    with looking() as connection:
        found = register.corrections(connection)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    print_corrections(found)


@app.command()
def status(
    number: Annotated[
        int | None, typer.Argument(min=1, help="A request: what was done with it, when and by which login.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show all requests, with the days that are left for an answer; or all that was done with one."""
    if number is not None:
        _status_of(number, as_json)
        return
    with looking() as connection:
        found = register.requests(connection)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        out.print("no requests")
        return
    print_requests(found)


def _status_of(number: int, as_json: bool) -> None:
    with looking() as connection:
        found = register.request(connection, number)
        log = register.log(connection, number)
        evidence = register.evidence(connection, number)
    if as_json:
        told = {"log": [asdict(one) for one in log], "evidence": [asdict(one) for one in evidence]}
        print_json(asdict(found) | told)
        return
    print_requests([found])
    print_log(log)
    print_counts(evidence, "find")
    print_proof(evidence)
