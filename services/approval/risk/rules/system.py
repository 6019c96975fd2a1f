"""The machine: power, services, accounts, rights, schedules, kernel, network settings, processes."""

from __future__ import annotations

import re

from services.approval.risk.rules.rule import Rule
from services.approval.risk.scoring import CRITICAL, HIGH, MEDIUM, MINOR, SERIOUS
from services.approval.risk.shell.invocation import Invocation


def _setuid(call: Invocation) -> bool:
    return any(re.match(r"^(?:0?[4-7][0-7]{3}|[ugoa]*[+=][rwxX]*s[rwxXt]*)$", p) for p in call.positionals[:1])


def _every_process(call: Invocation) -> bool:
    return "-1" in call.args[1:] or ("-1" in call.args and len(call.args) > 1 and call.args[-1] == "-1")


RULES = (
    Rule("system.power", "shutdown reboot halt poweroff telinit pm-hibernate pm-suspend", HIGH, "Stops or restarts the machine.", without="--help --version -c --show",
         safer="Ask the machine's owner."),
    Rule("system.power", "init", HIGH, "Stops or restarts the machine.", arg=r"^[06]$"),
    Rule("system.power", "systemctl", HIGH, "Stops or restarts the machine.", sub="poweroff|reboot|halt|kexec|suspend|hibernate|emergency|rescue|isolate *|default|switch-root *"),
    Rule("system.service", "systemctl", SERIOUS, "Stops a service or keeps it from starting.", sub="stop|disable|mask|kill|revert|reset-failed", safer="systemctl status first."),
    Rule("system.service", "systemctl", MINOR, "Starts services, now or at boot.", sub="start|restart|reload|enable|daemon-reload|unmask|try-restart|reenable|daemon-reexec"),
    Rule("persistence.service-file", "systemctl", MEDIUM, "Installs a service from a file.", sub="link *|edit *|set-property *|set-environment *|import-environment *|add-wants *|preset *|enable /*"),
    Rule("system.service", "service rc-service invoke-rc.d initctl supervisorctl pm2 sv s6-svc monit launchctl nssm sc net", MEDIUM, "Stops a service.",
         arg=r"(?i)^(?:stop|disable|delete|kill|unload|bootout|remove|down|shutdown)$"),
    Rule("persistence.service", "launchctl chkconfig rc-update sc nssm", HIGH, "Makes something start at boot.", arg=r"(?i)^(?:load|bootstrap|add|create|install|submit|enable|defaults|on)$"),
    Rule("persistence.schedule", "crontab", HIGH, "Removes every scheduled job.", flags="-r -i", safer="crontab -l first."),
    Rule("persistence.schedule", "crontab", SERIOUS, "Changes what runs on a schedule.", without="-l -r", when=lambda c: bool(c.positionals) or "-e" in c.flags or c.stdin.present),
    Rule("persistence.schedule", "at schtasks", SERIOUS, "Runs something later.", without="-l -V -h -c /query", when=lambda c: bool(c.args) or c.stdin.present),
    Rule("persistence.schedule", "atrm", MEDIUM, "Removes scheduled jobs."),
    Rule("persistence.autostart", "reg regedit new-itemproperty set-itemproperty", HIGH, "Changes the registry.", arg=r"(?i)^(?:add|delete|import|load|restore|save|-path)$"),
    Rule("persistence.trust", "update-ca-certificates update-ca-trust trust certutil", SERIOUS, "Changes which certificates the machine trusts.", without="--help -hashfile"),
    Rule("persistence.preload", "ldconfig", MEDIUM, "Changes which libraries programs load.", without="-p"),
    Rule("privilege.accounts", "useradd adduser usermod userdel deluser groupadd groupdel groupmod gpasswd addgroup delgroup newusers chsh chfn vipw vigr dscl sysadminctl pw usermgmt", HIGH,
         "Changes the machine's accounts.", without="--help -D", safer="Ask an administrator."),
    Rule("privilege.accounts", "net net1", HIGH, "Changes the machine's accounts.", sub="user *|localgroup *|group *|accounts *"),
    Rule("privilege.password", "passwd chpasswd chage faillock pam_tally2 htpasswd", HIGH, "Changes passwords.", without="-S --status --help -l"),
    Rule("privilege.password", "passwd chage", MEDIUM, "Looks at or locks accounts.", flags="-S --status -l -d -u"),
    Rule("privilege.sudoers", "visudo", HIGH, "Changes who may act as whom.", without="-c"),
    Rule("privilege.setuid", "chmod install", HIGH, "Lets a program run with its owner's rights.", when=_setuid),
    Rule("privilege.setuid", "install", HIGH, "Lets a program run with its owner's rights.", when=lambda c: any(re.match(r"^0?[4-7][0-7]{3}$|s", v) for v in c.values("-m", "--mode")) and not any("=" in v and "s" not in v for v in c.values("-m"))),
    Rule("privilege.capabilities", "setcap capset", HIGH, "Gives a program rights of the system."),
    Rule("privilege.owner", "chown chgrp", MEDIUM, "Gives files to root.", arg=r"^(?:root|0)(?::|$|\.)"),
    Rule("privilege.search", "getcap", MEDIUM, "Looks for programs with extra rights.", flags="-r"),
    Rule("privilege.search", "find", MEDIUM, "Looks for programs that run with others' rights, or files that all can change.",
         when=lambda c: any(a == "-perm" for a in c.args) and any(re.match(r"^[-/+]?(?:[0-7]?[246][0-7]{3}|0?[0-7]*[0-7][0-7][2367]|u[=+]s|g[=+]s|[ugo,=+]*s|o[=+]w|a[=+]?w)\S*$", a) for a in c.args)),
    Rule("privilege.ask", "sudo", MEDIUM, "Asks what it may do as somebody else.", flags="-l --list"),
    Rule("system.kernel", "insmod modprobe rmmod kmod depmod kexec", HIGH, "Changes the running kernel.", without="--version -n --show-depends --dry-run -l"),
    Rule("system.kernel", "sysctl", HIGH, "Changes the running kernel's settings.", when=lambda c: bool(c.flags & {"-w", "--write", "-p", "--load", "--system"}) or any("=" in p for p in c.positionals)),
    Rule("system.boot", "grub-install update-grub grub-mkconfig grub2-mkconfig efibootmgr bootctl dracut update-initramfs mkinitcpio flashrom fwupdmgr bcdedit", HIGH, "Changes how the machine starts.",
         without="--version -v --help --list"),
    Rule("system.time", "date timedatectl hwclock ntpdate", MEDIUM, "Changes the machine's clock.", when=lambda c: bool(c.flags & {"-s", "--set", "--systohc", "--hctosys", "-w"}) or c.positionals[:1] == ("set-time",) or c.name == "ntpdate"),
    Rule("system.name", "hostnamectl hostname localectl", MINOR, "Changes the machine's name or language.", when=lambda c: bool(c.positionals) and c.positionals[0] not in ("status", "list-locales", "show")),
    Rule("system.settings", "defaults gsettings dconf nvram csrutil spctl pmset systemsetup scutil", MEDIUM, "Changes the machine's settings.", arg=r"^(?:write|delete|set|reset|disable|--master-disable|-a|-setremotelogin|-[sg]et.*)$"),
    Rule("process.kill", "kill", MEDIUM, "Ends processes at once.", flags="-9 -KILL -SIGKILL -s"),
    Rule("process.kill", "kill pkill killall skill", CRITICAL, "Ends every process.", when=_every_process),
    Rule("process.kill", "pkill killall skill killall5 xkill taskkill stop-process fuser", MEDIUM, "Ends processes by name.", without="-l --list -0 -V --version",
         when=lambda c: c.name != "fuser" or bool(c.flags & {"-k", "--kill"}), safer="End one process by its number."),
    Rule("process.kill", "kill", MEDIUM, "Ends processes that are not known before it runs.", when=lambda c: any("\ufffc" in a for a in c.args)),
    Rule("process.inject", "gdb strace ltrace dtrace bpftrace gcore pstack", SERIOUS, "Looks into another process.", flags="-p --pid --attach"),
    Rule("process.inject", "gcore", SERIOUS, "Copies another process's memory."),
    Rule("process.priority", "renice", MINOR, "Changes how processes share the machine."),
    Rule("netconfig.firewall", "iptables ip6tables nft ebtables arptables ipset pfctl firewall-cmd", HIGH, "Changes or clears the firewall.",
         flags="-F --flush -X -Z -D -P --policy --delete -A -I -R --append --insert --add-port --remove-port --add-service --remove-service --panic-on -d -f --add-rich-rule --set-default-zone --reload"),
    Rule("netconfig.firewall", "nft ipset", HIGH, "Changes or clears the firewall.", sub="flush *|delete *|add *|insert *|destroy *|create *|flush|destroy"),
    Rule("netconfig.firewall", "iptables-restore ip6tables-restore", HIGH, "Replaces the firewall's rules."),
    Rule("netconfig.firewall", "ufw", HIGH, "Changes or turns off the firewall.", sub="disable|reset|delete|allow *|deny *|default *|insert *|limit *|reject *|route *"),
    Rule("netconfig.firewall", "netsh", HIGH, "Changes the network's settings.", sub="advfirewall *|firewall *|interface *|wlan *"),
    Rule("netconfig.link", "ifconfig ip ifdown nmcli networksetup iwconfig wpa_cli rfkill netplan ethtool connmanctl", SERIOUS, "Changes the machine's network.",
         when=lambda c: c.name in ("ifdown",) or bool({"down", "del", "delete", "flush", "off", "disconnect", "block", "apply", "netns", "promisc", "hw", "-setdnsservers", "-setwebproxy", "modify", "-s", "-K"} & set(c.args))
         or (c.name == "ifconfig" and len(c.positionals) > 1 and c.positionals[1] != "up") or (c.name == "ip" and bool({"add", "replace", "change"} & set(c.args[1:3])))),
    Rule("netconfig.link", "route", SERIOUS, "Changes the machine's routes.", sub="del|delete|flush|change|-f"),
    Rule("netconfig.link", "arp", MEDIUM, "Changes the address table.", flags="-d -s --delete --set"),
    Rule("netconfig.names", "resolvectl systemd-resolve dscacheutil", MINOR, "Changes how names are resolved.", arg=r"^(?:dns|domain|--set-dns|-flushcache|flush-caches)$"),
    Rule("credential.agent", "ssh-add", MEDIUM, "Changes the keys that the agent holds.", flags="-D -d -x -X"),
    Rule("credential.known-hosts", "ssh-keygen", MEDIUM, "Forgets the identity of a machine.", flags="-R"),
    Rule("credential.key", "ssh-keygen", MINOR, "Makes or changes a key.", without="-l -F -y -R"),
    Rule("credential.key", "ssh-keygen", MEDIUM, "Loads a library, or prints a private key's public half.", flags="-D"),
    Rule("credential.copy-id", "ssh-copy-id", HIGH, "Lets a key log in to another machine."),
    Rule("credential.dump", "mimikatz lazagne procdump secretsdump.py pypykatz hashcat john hydra medusa ncrack crackmapexec netexec responder kerbrute rubeus impacket-secretsdump unshadow laZagne mimipenguin gpp-decrypt",
         HIGH, "A tool for stealing or guessing credentials."),
    Rule("credential.gpg", "gpg gpg2", SERIOUS, "Exports or removes secret keys.", flags="--export-secret-keys --export-secret-subkeys --delete-secret-keys --delete-secret-and-public-key --delete-keys"),
    Rule("credential.gpg", "openssl", MEDIUM, "Reads a private key.", sub="rsa|pkcs12|pkcs8|pkey", flags="-in"),
    Rule("credential.search", "grep egrep fgrep rg ag find", MEDIUM, "Searches for credentials outside the working directory.",
         when=lambda c: any(re.search(r"(?i)passw|passwd|akia|secret|api.?key|private.key|credential|token|id_rsa|\\.kdbx|shadow|\\.pem", a) for a in c.args)
         and any(re.match(r"^(?:/(?!tmp|dev/null|work|app|src)|~|\$HOME|[cC]:)", a) for a in c.args)),
    Rule("credential.environment", "printenv env", MINOR, "Prints every variable, secrets included.", when=lambda c: not c.args),
    Rule("credential.database", "getent", MEDIUM, "Reads accounts.", sub="shadow|gshadow"),
    Rule("credential.memory", "strings gcore", MEDIUM, "Reads memory.", arg=r"^/(?:dev/k?mem|proc/\d+/mem|proc/kcore)"),
    Rule("discovery.network-scan", "nmap masscan zmap rustscan arp-scan netdiscover unicornscan hping3 fping nikto gobuster dirb wfuzz ffuf sqlmap msfconsole msfvenom metasploit wpscan enum4linux smbmap smbclient rpcclient ldapsearch bloodhound-python responder ettercap bettercap aircrack-ng airodump-ng aireplay-ng dsniff arpspoof mitmproxy burpsuite feroxbuster amass subfinder nuclei theharvester linpeas.sh linenum.sh pspy pspy64 winpeas chisel ligolo evil-winrm",
         SERIOUS, "A tool for scanning or attacking other machines.", without="--version -V --help"),
    Rule("discovery.sweep", "ping arping nc nmap telnet", MEDIUM, "Tries one address after another.", arg=r"^(?:\d{1,3}\.){2,3}(?:\d{1,3}\.)?\ufffc"),
    Rule("discovery.sniff", "tcpdump tshark wireshark dumpcap ngrep snoop", MEDIUM, "Listens to the network.", without="-D --version -r --help"),
    Rule("discovery.input", "xinput xdotool xwd scrot import screencapture xclip xsel arecord fswebcam logkeys script-keylogger pbpaste showkey wl-paste gnome-screenshot ffmpeg-grab get-clipboard", MINOR, "Reads the screen, the keyboard or the clipboard."),
    Rule("discovery.input", "logkeys showkey xinput arecord fswebcam", SERIOUS, "Records a person's input.", when=lambda c: c.name != "xinput" or "test" in c.args or "test-xi2" in c.args),
)  # fmt: skip
