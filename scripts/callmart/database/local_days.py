"""When a local day begins, by the server's time zones. Python has time zones of its own, of another version."""


def begin_of_day(day: str, time_zone: str) -> str:
    """SQL for the first instant of a day on a customer's clock. Of two midnights PostgreSQL takes the second one, an
    hour into the day.
    """
    midnight = f"({day})::timestamp at time zone {time_zone}"
    return (
        f"case when ({midnight} - interval '1 hour') at time zone {time_zone} >= {day}"
        f" then {midnight} - interval '1 hour' else {midnight} end"
    )
