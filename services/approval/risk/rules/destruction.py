"""Files and disks: what removes or overwrites them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN
from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, NOTE, SERIOUS
from services.approval.risk.shell.invocation import Invocation

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

_DISK = r"^/dev/(?:sd[a-z]|hd[a-z]|vd[a-z]|xvd[a-z]|nvme\d|mmcblk\d|disk\d|rdisk\d|mapper/|dm-|md\d|sr\d|loop\d|vg|[a-z]+vg)"
_FORMATTERS = "mkfs mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mkfs.fat mkfs.ntfs mkfs.exfat mkfs.f2fs mkfs.minix mkfs.msdos mke2fs mkswap newfs"


def _targets_root(call: Invocation) -> bool:
    return any(paths.is_root(p) for p in call.positionals)


RULES = (
    Rule("destruction.format", _FORMATTERS, CRITICAL, "Makes a new file system over what is on a disk.", arg=_DISK, without="-n -N --help -V",
         safer="Check the device with lsblk, and work on an image file first."),
    Rule("destruction.format", "diskutil", CRITICAL, "Erases a disk.", sub="erase*|partitiondisk|apfs delete*|zerodisk|secureerase"),
    Rule("destruction.format", "format format.com diskpart", HIGH, "Formats a disk.", arg=r"(?i)^[a-z]:|^/s"),
    Rule("destruction.wipe-disk", "wipefs blkdiscard hdparm nvme sgdisk scrub nwipe badblocks", CRITICAL, "Wipes a disk.", arg=_DISK,
         flags="-a --all -z -f --zap-all -Z -o --security-erase --security-erase-enhanced -w -s --trim-sector-ranges --ses format"),
    Rule("destruction.wipe-disk", "blkdiscard", CRITICAL, "Discards every block of a disk.", arg=_DISK),
    Rule("destruction.partition", "fdisk gdisk sfdisk cfdisk parted sgdisk partprobe kpartx partx", SERIOUS, "Works on a disk's partition table.",
         arg=_DISK, safer="Look with lsblk."),
    Rule("destruction.partition", "parted", HIGH, "Changes a disk's partition table.", arg=_DISK,
         when=lambda c: any(w in c.args for w in ("mklabel", "mktable", "rm", "mkpart", "resizepart"))),
    Rule("destruction.partition", "sfdisk", HIGH, "Changes a disk's partition table.", flags="--delete --wipe", arg=_DISK),
    Rule("destruction.volume", "lvremove vgremove pvremove lvreduce vgreduce zpool zfs mdadm btrfs", HIGH, "Removes storage volumes.",
         when=lambda c: c.name in ("lvremove", "vgremove", "pvremove", "lvreduce", "vgreduce")
         or bool({"destroy", "labelclear", "--zero-superblock", "rollback", "delete"} & set(c.args))),
    Rule("destruction.encryption", "cryptsetup", HIGH, "Changes or removes disk encryption.", sub="luksformat|lukserase|erase|luksremovekey|lukskillslot|reencrypt|luksaddkey|lukschangekey|luksheaderrestore"),
    Rule("destruction.encryption", "cryptsetup", SERIOUS, "Works on an encrypted disk.", sub="open|close|resize|luksdump|isluks|luksopen|luksclose|luksheaderbackup|remove|create"),
    Rule("destruction.block-settings", "blockdev hdparm tune2fs e2fsck fsck xfs_repair resize2fs debugfs", MEDIUM, "Works on a disk, below its file system.", arg=_DISK),
    Rule("destruction.restore", "restore dump partclone.dd partimage clonezilla", HIGH, "Reads or writes a whole disk.", arg=_DISK),
    Rule("system.mount", "mount", MEDIUM, "Mounts a disk or changes how one is mounted.",
         when=lambda c: any(re.match(_DISK, a) for a in c.args) or any("remount" in a or "bind" in a for a in c.args) or "--bind" in c.flags),
    Rule("system.mount", "umount swapoff swapon losetup", MEDIUM, "Takes a file system away, or adds one."),
    Rule("destruction.shred", "shred", HIGH, "Destroys files beyond recovery.", when=lambda c: bool(c.positionals)),
    Rule("destruction.truncate", "truncate", MEDIUM, "Empties files.", when=lambda c: any(v in ("0", "0K", "0M") for v in c.values("-s", "--size")) and bool(c.positionals)),
    Rule("destruction.delete", "rmdir unlink rimraf trash trash-put del-cli remove-item", MEDIUM, "Removes files or folders.", when=lambda c: bool(c.positionals)),
    Rule("destruction.permissions", "chmod chown chgrp setfacl chattr", MEDIUM, "Changes the rights of a whole tree.",
         when=lambda c: bool(c.flags & {"-R", "--recursive"})),
    Rule("destruction.permissions-root", "chmod chown chgrp setfacl", HIGH, "Changes the rights of the system's files.",
         when=lambda c: bool(c.flags & {"-R", "--recursive"}) and _targets_root(c)),
    Rule("destruction.permissions-root", "chmod", CRITICAL, "Opens the whole system to everybody.",
         when=lambda c: bool(c.flags & {"-R", "--recursive"}) and "/" in c.positionals and any(re.match(r"^0?[0-7]?[0-7]?77$|^a\+|^777$|^o\+w|^000$", a) for a in c.args)),
    Rule("destruction.world-writable", "chmod", MEDIUM, "Lets everybody change files.",
         when=lambda c: any(re.match(r"^0?[0-7]?[0-7][0-7]?[2367]$|^(?:[ugoa]*[oa][ugoa]*|)\+[rxst]*w|^(?:a|o|ugo)=\w*w", a) for a in c.positionals[:1])),
    Rule("destruction.mass-move", "mv", SERIOUS, "Moves files into nothing.", arg=r"^/dev/null$", when=lambda c: len(c.positionals) > 1),
    Rule("destruction.sync-delete", "rsync", SERIOUS, "Deletes what is not in the source.", flags="--delete --delete-after --delete-before --delete-excluded --delete-during --del --remove-source-files",
         safer="Run it with --dry-run first."),
    Rule("destruction.sync-delete", "rclone", SERIOUS, "Deletes remote files.", sub="delete|purge|sync|deletefile|rmdir|rmdirs|cleanup|move"),
    Rule("destruction.trash", "gio gvfs-trash", MEDIUM, "Removes files.", sub="trash|remove"),
    Rule("destruction.robocopy", "robocopy", SERIOUS, "Deletes what is not in the source.", arg=r"(?i)^/(?:mir|purge)$"),
    Rule("destruction.windows", "vssadmin wbadmin bcdedit cipher fsutil", HIGH, "Removes backups or the means to recover.", arg=r"(?i)^(?:delete|/set|/w|recoveryenabled|usn)"),
    Rule("resource.fill", "fallocate stress stress-ng", MINOR, "Takes a lot of space or time.", without="--version --help"),
    Rule("resource.stress", "stress stress-ng", MEDIUM, "Uses up the machine on purpose."),
)  # fmt: skip


def check(walker: Walker, call: Invocation, read: frozenset[str]) -> None:
    """Removal by target, and raw copies by device."""
    if call.name == "rm":
        _rm(walker, call)
    elif call.name == "dd":
        _dd(walker, call)


def _write(walker: Walker, target: str) -> None:
    if target and "://" not in target and not re.match(r"^[\w.@-]+:", target) and (found := paths.write_factor(target, walker.place)):
        walker.add(found)


def _rm(walker: Walker, call: Invocation) -> None:
    flags = {f.lower() for f in call.flags}
    if "--help" in flags or "--version" in flags:
        return
    if call.positionals and all(walker.state.files.is_own(target) for target in call.positionals):
        walker.flag("destruction.temporary", NOTE, "Removes the temporary files that this script made.", call.excerpt, span=call.span)
        return
    recursive = bool(flags & {"-r", "--recursive"})
    targets = [p for p in call.positionals if not re.match(r"^-{1,2}\w", p)]
    if not targets:
        if recursive:
            walker.flag("destruction.recursive-delete", MEDIUM, "Removes whole folders.", call.excerpt, span=call.span)
        return
    weight, message = (SERIOUS, "Removes folders with everything in them.") if recursive else (MEDIUM, "Removes files.")
    for target in targets:
        clean = paths.normalised(target, walker.cwd if target in ("*", ".", "./*", "..", "../*") and walker.cwd in ("/", "") else "")
        if (recursive and (paths.is_root(target) or clean in ("/*", "/"))) or "--no-preserve-root" in flags:
            weight, message = CRITICAL, "Removes the system or a person's files."
            break
        hidden = target.startswith(HIDDEN)
        wide = target in ("*", ".", "..", "./*", "../*", ".*", "./", "../", "$PWD", "./.") or target.startswith("../")
        if recursive and weight < HIGH and (hidden or wide):
            weight = HIGH
            message = "Removes folders that are not known before it runs." if hidden else "Removes everything in the working directory, or above it."
        _write(walker, target)
    kind = "recursive-delete" if recursive else "delete"
    walker.flag(f"destruction.{kind}", weight, message, call.excerpt, "Move it aside, or remove exactly the files that are meant.", call.span)


def _dd(walker: Walker, call: Invocation) -> None:
    for arg in call.args:
        key, _, value = arg.partition("=")
        if key == "of":
            if re.match(_DISK, value):
                walker.flag("destruction.overwrite-disk", CRITICAL, "Overwrites a disk.", call.excerpt, "Write into an image file.", call.span)
            else:
                _write(walker, value)
        elif (
            key == "if" and value in ("/dev/zero", "/dev/urandom", "/dev/random") and not any(a.startswith(("count=", "of=/dev/")) for a in call.args)
        ):
            walker.flag("resource.fill", MEDIUM, "Writes until the disk is full.", call.excerpt)
