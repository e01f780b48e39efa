"""A sandbox for one block of code, on this machine, without anything to set up."""

from pinfold import Client

with Client.local() as client, client.sandboxes.create(memory_mib=256) as sandbox:
    run = sandbox.run("echo hello from $(uname -n), process $$ of $(id -un)")
    print(run.stdout, end="")

    # A program with arguments, its input and its environment.
    run = sandbox.run(["tr", "a-z", "A-Z"], stdin="shout", env={"LC_ALL": "C"})
    print(run.stdout, "ended with", run.exit_code)
