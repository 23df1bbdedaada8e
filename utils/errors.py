"""The one exception that means: the user can mend this."""


class UserError(Exception):
    """What the user asked for cannot be done; the message says what came, what is allowed, what to
    do.

    The commands print the message alone and exit with 2. Any other exception is a fault of the
    program and keeps its traceback.
    """


def memory_full(error: BaseException) -> str:
    """Whose memory an error says is full, as the start of a sentence; "" for another error."""
    text = str(error).partition("\n")[0]
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which need not be imported here
        return f"the GPU's memory is full ({text})"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        told = text.rpartition("DefaultCPUAllocator: ")[2]
        return f"the memory is full ({told or 'nothing is left'})"
    return ""
