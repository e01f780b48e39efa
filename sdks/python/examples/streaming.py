"""Output as it comes, from a command that runs beside the program and is fed while it does."""

from pinfold import Client, End, Output

with Client.local() as client, client.sandboxes.create() as sandbox:
    command = sandbox.commands.start("while read -r name; do echo hello $name; done", open_stdin=True)
    command.write_stdin("Ada\nGrace\n")
    command.close_stdin()

    # A dropped connection is made again: nothing is missing, nothing comes twice.
    for record in command.stream():
        if isinstance(record, Output):
            print(record.seq, record.stream, record.text, end="")
        elif isinstance(record, End):
            print("ended with", record.command.exit_code)

    # A program that comes later reads on from the record that it remembers.
    last = command.logs(limit=1).next_after_seq
    print([record.seq for record in command.stream(after_seq=last)])
