"""Defence evasion: what hides traces or turns protection off."""

from __future__ import annotations

import re

from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import HIGH, MEDIUM, SERIOUS

RULES = (
    Rule("evasion.history", "history", HIGH, "Removes the record of commands.", flags="-c -d -cw"),
    Rule("evasion.history", "unset", MEDIUM, "Turns off the record of commands.", arg=r"^(?:HISTFILE|HISTSIZE|HISTFILESIZE|PROMPT_COMMAND)$"),
    Rule("evasion.history", "set shopt", MEDIUM, "Turns off the record of commands.", when=lambda c: ("history" in c.args and bool({"+o", "-u"} & set(c.args))) or "+H" in c.args),
    Rule("evasion.history", "ln", SERIOUS, "Turns off the record of commands.", arg=r".*_history$"),
    Rule("evasion.logs", "journalctl", HIGH, "Removes logs.", when=lambda c: any(a.startswith(("--vacuum", "--rotate", "--flush", "--relinquish")) for a in c.args)),
    Rule("evasion.logs", "auditctl", HIGH, "Turns off the audit of the system.", when=lambda c: bool(c.flags & {"-D", "-d", "-W"}) or ("-e" in c.args and "0" in c.args) or bool(c.flags & {"-e0"})),
    Rule("evasion.logs", "wevtutil clear-eventlog limit-eventlog", HIGH, "Removes logs.", without="qe"),
    Rule("evasion.logs", "dmesg", MEDIUM, "Clears the kernel's messages.", flags="-C -c --clear --read-clear -n -D"),
    Rule("evasion.logs", "logrotate", MEDIUM, "Rotates logs away.", flags="-f --force"),
    Rule("evasion.logs", "utmpdump", MEDIUM, "Reads or forges the record of logins."),
    Rule("evasion.protection", "setenforce", HIGH, "Turns off mandatory access control.", arg=r"(?i)^(?:0|permissive)$"),
    Rule("evasion.protection", "aa-disable aa-complain aa-teardown apparmor_parser semodule setsebool semanage chcon restorecon", SERIOUS, "Weakens mandatory access control.", without="-l --list"),
    Rule("evasion.protection", "set-mppreference add-mppreference sc.exe uninstall-windowsfeature", HIGH, "Weakens the virus scanner."),
    Rule("evasion.protection", "chattr", SERIOUS, "Makes a file unchangeable, or changeable again.", arg=r"^[+-][aiu]+$"),
    Rule("evasion.timestamps", "touch", MEDIUM, "Forges a file's times.", flags="-r -t -d --date --reference -a -m",
         when=lambda c: bool(c.flags & {"-r", "--reference"}) or (bool(c.flags & {"-t"}) and any(re.match(r"^\d{8,12}(?:\.\d\d)?$", a) for a in c.args))),
    Rule("evasion.secure-delete", "sfill sswap smem bleachbit", HIGH, "Destroys data beyond recovery."),
    Rule("evasion.packer", "upx shc steghide outguess stegosaurus", MEDIUM, "Hides what a file holds."),
    Rule("evasion.attributes", "xattr", MEDIUM, "Takes away the mark of a downloaded file.", arg=r"^(?:-\w*[dc]\w*|com\.apple\.quarantine)$"),
    Rule("evasion.jobs", "disown", MEDIUM, "Lets a process go on unseen.", flags="-a -h"),
)  # fmt: skip
