"""The run, and what tells how it went: status, health, alarms, doctor. And what makes up for earlier days: rebuild."""
