"""Trees of files to count: a random one with every odd case, a deep one, and one that takes for ever."""

import os
import random
import shutil
import socket
import threading

CHUNK = 256 * 1024  # the program's read size: words must survive its borders

ODD_NAMES = [b"with space", b"new\nline", b"\xff\xfe not utf-8", b"-rf", b"--", b"--top", b"'quoted' \"twice\"",
             b"back\\slash", b"*", b"~", b"$HOME", b".hidden", b"tab\there", b"n" * 255, b"\x01\x7f"]


def random_text(rng, size, alphabet):
    return bytes(rng.choices(alphabet, k=size))


def contents(rng):
    """One content for every odd case, then ordinary ones."""
    word_bytes = b"abcXYZ019_"
    yield b""
    yield b"\n"
    yield b"x"
    yield b"ends_without_newline"
    yield b"starts_where_another_ended"
    yield b"\xe4\xf6\xfc caf\xc3\xa9 \x00a\x00b\x00 cr\r\nlf"
    yield bytes(range(256)) * 3
    yield rng.randbytes(300_000)
    for size in (CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7):
        yield b"w" * size
        yield b" " * size
        yield random_text(rng, size, word_bytes + b"  \n")
    yield b" " * (CHUNK - 3) + b"border_word " + b" " * CHUNK + b"tail"
    for _ in range(200):
        yield random_text(rng, rng.randrange(5000), word_bytes + b"    .-\n\xff\x00")


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def add_what_is_no_file(root):
    """Links, loops of links, a FIFO and a socket: none of them is counted, none makes anybody wait."""
    write(os.path.join(root, b"target"), b"target_of_links")
    os.mkdir(os.path.join(root, b"empty directory"))
    os.symlink(b"target", os.path.join(root, b"link to file"))
    os.symlink(b".", os.path.join(root, b"link to itself"))
    os.symlink(b"..", os.path.join(root, b"link upwards"))
    os.symlink(b"nowhere", os.path.join(root, b"dangling"))
    os.symlink(b"loop b", os.path.join(root, b"loop a"))
    os.symlink(b"loop a", os.path.join(root, b"loop b"))
    os.link(os.path.join(root, b"target"), os.path.join(root, b"hard link"))
    os.mkfifo(os.path.join(root, b"fifo"))
    here = os.open(root, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(b"/proc/self/fd/%d/socket" % here)  # the root's own path may be too long for a socket's
    os.close(here)


def make_odd_tree(root, seed):
    rng = random.Random(seed)
    root = os.fsencode(root)
    directories = [root]
    for i, name in enumerate(ODD_NAMES):
        directories.append(os.path.join(rng.choice(directories[:8]), b"d " + name[:200] + b"%d" % i))
        os.mkdir(directories[-1])
    for i, content in enumerate(contents(rng)):
        name = ODD_NAMES[i] if i < len(ODD_NAMES) else b"file %d" % i
        write(os.path.join(rng.choice(directories), name), content)
    with open(os.path.join(root, b"sparse"), "wb") as file:
        file.write(b"before_the_hole")
        file.seek(5_000_000)
        file.write(b"after_the_hole")
    add_what_is_no_file(root)


def make_wide_tree(root, files, seed):
    """Many small files in one directory and in many directories."""
    rng = random.Random(seed)
    for i in range(files):
        directory = os.path.join(root, "wide" if i % 2 else "dir%d" % (i // 10))
        os.makedirs(directory, exist_ok=True)
        write(os.path.join(directory, "f%d" % i), random_text(rng, rng.randrange(200), b"abcde  \n"))


def make_deep_tree(root, depth, name=b"deep_directory_name"):
    """A chain of directories with a file in each; its path becomes longer than the kernel takes at once."""
    here = os.open(root, os.O_RDONLY)
    for i in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        with open(os.open(b"file", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here), "wb") as file:
            file.write(b"level_%d deep " % (i % 10))
    os.close(here)


def make_endless_file(path):
    """A hole of a tebibyte, on no disk: reading it takes for ever, for the purpose of a test."""
    with open(path, "wb") as file:
        file.truncate(1 << 40)


class Unrest:
    """Changes a tree all the time, in a thread of its own, while the scope lasts."""

    def __init__(self, root, seed):
        self.root, self.rng, self.stop = root, random.Random(seed), threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        path = os.path.join(self.root, "unrest")
        while not self.stop.is_set():
            os.mkdir(path)
            for i in range(10):
                self.change(os.path.join(path, "d%d" % i))
            with open(os.path.join(self.root, "log"), "ab") as log:
                log.write(b"moving " * 1000)
            shutil.rmtree(path)

    def change(self, path):
        """A directory with a file that becomes something else, which becomes something else."""
        os.mkdir(path)
        file = os.path.join(path, "file")
        write(file, b"moving " * self.rng.randrange(100_000))
        os.truncate(file, self.rng.randrange(1000))
        os.remove(file)
        self.rng.choice([os.mkfifo, os.mkdir, lambda p: os.symlink("..", p)])(file)
        if self.rng.random() < 0.5:
            shutil.rmtree(path)
            os.symlink("..", path)
