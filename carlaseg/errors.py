"""Every error carlaseg raises on purpose, and the exit code the command line ends with.

    CarlasegError            1
      ConfigError            2   a flag, a configuration file, a combination of them
      SimulatorError         3   no server, a server of another version, a dead or silent one
        TrafficOutOfStep     3   traffic that may not be what the seed says; the drive can begin anew
      ProtocolError          4   bytes that are not the protocol
      DatasetError           5   a folder, an image, a mask, a label scheme
      CheckpointError        6   a run folder or the weights inside it
      TrainingDiverged       7   the loss is no longer a number
    Interrupted            130   Ctrl-C (143 for SIGTERM); what was finished is safe

A message has the form "where: expected what, received what", in one sentence or two; `next_steps` holds what to type
next, a pair (label, command) a line. The command line prints one line for the message and one for each step.
"""

from __future__ import annotations


class CarlasegError(Exception):
    """Base of all errors that carlaseg raises on purpose.

    Args:
        message: where, what was expected, what was received, what was left behind.
        next_steps: pairs of a short label and a command to type, printed below the message.
    """

    exit_code = 1

    def __init__(self, message: str, next_steps: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.next_steps = next_steps


class ConfigError(CarlasegError, ValueError):
    """A flag or a configuration value that cannot be used."""

    exit_code = 2


class SimulatorError(CarlasegError):
    """The simulator cannot be reached, is of another version, died or went silent."""

    exit_code = 3


class TrafficOutOfStep(SimulatorError):
    """Equal bytes were promised, and the client's TrafficManager had to be woken in the middle of a tick."""


class ProtocolError(CarlasegError):
    """Bytes on a socket that are not the protocol."""

    exit_code = 4


class DatasetError(CarlasegError):
    """A folder, image or mask that is not what its layout or label scheme promises."""

    exit_code = 5


class CheckpointError(CarlasegError):
    """A run folder or weights file that cannot be used."""

    exit_code = 6


class TrainingDiverged(CarlasegError):
    """The loss stopped being a finite number."""

    exit_code = 7


class Interrupted(CarlasegError):
    """The user asked to stop; the work was ended cleanly and what was finished is safe."""

    exit_code = 130
