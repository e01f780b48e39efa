"""Files of a devbox."""

import hashlib

import pytest
from runloop_api_client import APIStatusError, BadRequestError, NotFoundError

pytestmark = pytest.mark.anyio


async def test_texts_are_written_and_read(sdk, devbox):
    for path, text in (("/home/user/app.js", 'console.log("é")\n'), ("~/a/b", ""), ("rel", "x")):
        written = await sdk(devbox.file.write, file_path=path, contents=text)
        assert (written.exit_status, written.devbox_id) == (0, devbox.id)
        assert await sdk(devbox.file.read, file_path=path) == text
    result = await sdk(devbox.cmd.exec, command="cat rel; stat -c %U a/b")
    assert await sdk(result.stdout) == "xuser\n"


async def test_bytes_are_uploaded_and_downloaded(sdk, devbox, tmp_path):
    content = bytes(range(256)) * 5000
    local = tmp_path / "local.bin"
    local.write_bytes(content)
    for n, file in enumerate((local, content, ("name.bin", content))):
        path = f"~/up/{n}"
        await sdk(devbox.file.upload, path=path, file=file)
        assert await sdk(devbox.file.download, path=path) == content


async def test_an_upload_answers_an_object(sdk, runloop, devbox):
    answer = await sdk(runloop.api.devboxes.upload_file, devbox.id, path="x", file=b"")
    assert answer is not None
    assert await sdk(devbox.file.download, path="x") == b""


async def test_what_is_not_there_is_not_found(sdk, devbox, refused):
    with refused(NotFoundError, 404):
        await sdk(devbox.file.read, file_path="missing")
    with refused(NotFoundError, 404):
        await sdk(devbox.file.download, path="missing")
    with refused(BadRequestError, 400):
        await sdk(devbox.file.read, file_path="/home/user")


async def test_no_path_of_a_devbox_reaches_the_server(sdk, devbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("of the server")
    await sdk(devbox.cmd.exec, command=f"ln -s {secret} link")
    for path in ("link", str(secret), "../../../../.." + str(secret)):
        with pytest.raises(NotFoundError):
            await sdk(devbox.file.read, file_path=path)




async def test_texts_of_a_hundred_megabytes_are_written_and_read(sdk, devbox):
    for text in ("é\n" * 1_000_000, ("x" * 99 + "\n") * 1_000_000):
        await sdk(devbox.file.write, file_path="large", contents=text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        result = await sdk(devbox.cmd.exec, command="sha256sum large | cut -d' ' -f1")
        assert await sdk(result.stdout) == digest + "\n"
        assert await sdk(devbox.file.read, file_path="large") == text
    with pytest.raises(APIStatusError, match="upload_file takes larger files") as caught:
        await sdk(devbox.file.write, file_path="larger", contents="x" * ((100 << 20) + 1))
    assert caught.value.status_code == 413
    await sdk(devbox.cmd.exec, command="cat large large > larger")
    with pytest.raises(APIStatusError, match="download_file takes larger files") as caught:
        await sdk(devbox.file.read, file_path="larger")
    assert caught.value.status_code == 413
