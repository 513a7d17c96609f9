"""What happens to a signing when people act: states, invitations, who may do what (spec dokobit 5.2)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from local.sandbox.dokobit.platform import failed
from local.sandbox.dokobit.state import Mail, Signing, State, utc_now

if TYPE_CHECKING:
    from local.sandbox.dokobit.state import Person, SigningState


def open_for(state: State, signing: Signing) -> None:
    """Mails go out, in an external signing, to whoever is in line and to viewers."""
    if signing.flow == "external":
        invite(state, signing, [*signing.in_line(), *(one for one in signing.people if not one.must_sign)])


def invite(state: State, signing: Signing, people: list[Person]) -> None:
    for one in people:
        if state.invitations_sent(signing.token, one.token) == 0:
            state.mails.append(Mail(signing.token, one.token, "invite", utc_now()))


def remind(state: State, signing: Signing, person: Person) -> None:
    if not person.must_sign or person.state == "signed":
        raise failed("This participant cannot be reminded", field="signer")
    state.mails.append(Mail(signing.token, person.token, "reminder", utc_now()))


def require_turn(signing: Signing, person: Person) -> None:
    """Raises Problem 400 unless this person may act now."""
    if signing.state not in {"pending", "declined"}:
        raise failed(f"The signing is {signing.state}")
    if signing.is_blocked(utc_now()):
        raise failed("The deadline has passed")
    if person not in signing.in_line():
        raise failed("It is not this participant's turn")


def signed(state: State, signing: Signing, person: Person) -> bool:
    """The person's signature is in; returns whether that was the last one."""
    person.state = "signed"
    is_last = settle(signing)
    if not is_last and signing.flow == "external":
        invite(state, signing, signing.in_line())
    return is_last


def decline(signing: Signing, person: Person) -> None:
    """Not the end: whoever declined may still sign."""
    person.state = "declined"
    settle(signing)


def settle(signing: Signing) -> bool:
    """The state that follows from what everybody has done; True when that completed the signing."""
    if signing.state not in {"pending", "declined"}:
        return False
    if not signing.waiting() and (any(one.must_sign for one in signing.people) or signing.seals):
        move(signing, "completed")
        return True
    move(signing, "declined" if any(one.state == "declined" for one in signing.people) else "pending")
    return False


def move(signing: Signing, state: SigningState) -> None:
    if state != signing.state:
        signing.previous_state, signing.state = signing.state, state
        signing.changed_at = time.monotonic()


def take_out(signing: Signing, person: Person) -> None:
    if person.state == "signed":
        raise failed("This participant has signed", field="signers")
    signing.people.remove(person)


def update(signing: Signing, changes: dict[str, object]) -> None:
    """What is left out stays as it was."""
    deadline, is_hard = changes.pop("deadline", None), changes.pop("hard_deadline", None)
    if deadline is not None:
        signing.deadline = deadline  # type: ignore[assignment]
    if isinstance(is_hard, bool):
        signing.hard_deadline = is_hard
    signing.policy |= changes
