"""Where test results go: one JSON object a line, to a pipe or a file of the grader's.

Python 2.7 to 3.14, standard library only. PYTEST_DONT_REWRITE

The tests share this process, and some close descriptors, change directory, fork, replace
functions of ``os`` and ``json`` or fill the disk. So everything needed is bound when this module
is imported, strings are encoded here, the descriptor is checked before every write, and only the
process that made the channel writes.
"""

import errno
import fcntl
import os
import re
import sys

# The plain module: that of OpenSSL takes milliseconds to load.
try:
    from _sha2 import sha256
except ImportError:
    try:
        from _sha256 import sha256
    except ImportError:
        from hashlib import sha256

MESSAGE_LIMIT = 4096
_PY2 = sys.version_info[0] == 2
_text = type(u"")
_SHORT = {u'"': u'\\"', u"\\": u"\\\\", u"\n": u"\\n", u"\r": u"\\r", u"\t": u"\\t"}


def _escape(match):
    char = match.group(0)
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code > 0xFFFF:
        code -= 0x10000
        return u"\\u%04x\\u%04x" % (0xD800 | code >> 10, 0xDC00 | code & 0x3FF)
    if 0xD800 <= code <= 0xDFFF and not _PY2:
        # Half a pair (a byte that is not UTF-8) has no form in JSON: write its escape as text.
        return u"\\\\u%04x" % code
    return u"\\u%04x" % code


def quote(value, _sub=re.compile(u'[^ !#-\\[\\]-~]').sub, _escape=_escape, _known={}):
    """A string, or bytes, as a JSON string of ASCII characters."""
    if not isinstance(value, _text):
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else _text(value)
    # Ids and words come again and again; messages do not.
    quoted = _known.get(value)
    if quoted is None:
        quoted = u'"' + _sub(_escape, value) + u'"'
        if len(value) < 256 and len(_known) < 100000:
            _known[value] = quoted
    return quoted


def encode(value):
    """A string, number, or list of strings as JSON."""
    if isinstance(value, _text):
        return quote(value)
    if isinstance(value, float):
        return u"%.6f" % value if value == value and abs(value) < 1e15 else u"0"
    if isinstance(value, bool):
        return u"true" if value else u"false"
    if isinstance(value, int):
        return u"%d" % value
    if isinstance(value, (list, tuple)):
        return u"[" + u",".join([quote(item) for item in value]) + u"]"
    return quote(value)


def tail(message):
    """The end of a message, bounded."""
    if not isinstance(message, (bytes, _text)):
        message = _text(message)
    return message[-MESSAGE_LIMIT:]


def sealer(key, _sha=sha256):
    """Puts a number and a seal before each line. Every line has a key of its own, of which the
    next one is made and then nothing is kept: who learns the key of now can say nothing about
    what was said before."""
    state = [key, 0]

    def seal(line):
        line = str(state[1]).encode("ascii") + b" " + line
        mark = _sha(state[0] + line).hexdigest()[:32].encode("ascii")
        state[0] = _sha(b"next" + state[0]).digest()
        state[1] += 1
        return mark + b" " + line

    return seal


def instructions(_read=os.read):
    """What the grader sent to standard input: a key, and the files that it wants to see run and
    then removed. Standard input is empty from then on."""
    text = b""
    while True:
        part = _read(0, 65536)
        if not part:
            break
        text += part
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null > 0:
        os.close(null)
    lines = text.decode("utf-8").split(u"\n")
    return bytes(bytearray.fromhex(lines[0])), [line for line in lines[1:] if line]


class Channel(object):
    """Written by one process alone: an append-only file, or what was standard output, sealed."""

    def __init__(self, path):
        self.pid = os.getpid()
        self.torn = False
        self.fd = -1
        self.identity = None
        self.extra = []
        self.seal = None
        self.held = u""
        if path == "-":
            key, self.extra = instructions()
            self.path = None
            self.seal = sealer(key)
            self._keep(1, 1000 + 8 * ord(key[:1]))
            # What the tests print goes where their errors go.
            os.dup2(2, 1)
        else:
            self.path = os.path.abspath(path)
            self._open()

    def _keep(self, fd, least, _dup=fcntl.fcntl, _command=fcntl.F_DUPFD, _cloexec=fcntl.F_SETFD,
              _fstat=os.fstat):
        """Away from the low numbers, which some tests close or count on."""
        for low in (least, 1000, 3):
            try:
                self.fd = _dup(fd, _command, low)
                break
            except (OSError, IOError, ValueError):
                pass
        _dup(self.fd, _cloexec, 1)
        stat = _fstat(self.fd)
        self.identity = (stat.st_dev, stat.st_ino)

    def _open(self, _open=os.open, _flags=os.O_WRONLY | os.O_APPEND | os.O_CREAT,
              _close=os.close):
        fd = _open(self.path, _flags, 0o644)
        self._keep(fd, 1000)
        _close(fd)

    def _ready(self, _fstat=os.fstat):
        try:
            stat = _fstat(self.fd)
            if (stat.st_dev, stat.st_ino) == self.identity:
                return
        except (OSError, OverflowError, ValueError):
            pass
        if self.path is None:
            # The descriptor was closed or stands for something else now; a pipe is not had again.
            raise OSError(errno.EBADF, "closed")
        self._open()

    def write(self, event, pairs=(), hold=False, _getpid=os.getpid, _write=os.write,
              _eintr=errno.EINTR, _encode=encode):
        """Writes an event down; with ``hold``, not before the next one, and under one seal with
        it. What cannot be written is lost, and so not passed."""
        if _getpid() != self.pid:
            return
        text = u'{"e":' + _encode(event)
        for key, value in pairs:
            text += u',"' + key + u'":' + _encode(value)
        text = self.held + text + u"}"
        if hold:
            self.held = text + (u"\t" if self.seal else u"\n")
            return
        self.held = u""
        data = text.encode("ascii")
        data = (self.seal(data) if self.seal else data) + b"\n"
        try:
            self._ready()
            if self.torn:
                data = b"\n" + data
            while data:
                try:
                    data = data[_write(self.fd, data):]
                    self.torn = bool(data)
                except OSError as error:
                    if error.errno != _eintr:
                        raise
        except (OSError, IOError):
            self.torn = True


def leave(status, _exit=os._exit):
    """Ends the process with ``status`` now: neither threads nor exit handlers that tests left
    behind can delay or change it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    _exit(status)
