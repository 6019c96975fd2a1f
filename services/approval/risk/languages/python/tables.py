"""What functions of Python's library and of well-known packages do, for those where the name says it all.

A function whose arguments decide is in `files`, `processes`, `network` or `system`, not here.
"""

from __future__ import annotations

from services.approval.risk.scoring import HIGH, MEDIUM, MINOR, SERIOUS

Row = tuple[str, int, str]  # factor id, weight, what it does

CALLS: dict[str, Row] = {}  # by dotted name, calls and elements inside it left out
PACKAGES: dict[str, Row] = {}  # any function of a package, by the package's first names
METHODS: dict[str, tuple[str, Row]] = {}  # of an object that is not known: the package that must be imported ("" any), what it does
VERBS: dict[str, list[tuple[tuple[str, ...], Row]]] = {}  # of the clients of a service: by package, the beginnings of method names


def _calls(id: str, weight: int, message: str, functions: str) -> None:
    for name in functions.split():
        CALLS[name] = (id, weight, message)


def _packages(id: str, weight: int, message: str, packages: str) -> None:
    for name in packages.split():
        PACKAGES[name] = (id, weight, message)


def _methods(id: str, weight: int, message: str, methods: str, needs: str = "") -> None:
    for name in methods.split():
        METHODS[name] = (needs, (id, weight, message))


def _verbs(packages: str, id: str, weight: int, message: str, beginnings: str) -> None:
    for name in packages.split():
        VERBS.setdefault(name, []).append((tuple(beginnings.split()), (id, weight, message)))


_calls("code.fork", MEDIUM, "Makes copies of its process.", "pty.fork")
_calls("code.privilege", HIGH, "Changes whose rights it runs with.",
       "os.setuid os.setgid os.setreuid os.setresuid os.seteuid os.setegid os.chroot os.setgroups os.setregid os.setresgid os.initgroups prctl.set_caps os.unshare os.setns")  # fmt: skip
_calls(
    "code.debug",
    HIGH,
    "Looks into other processes.",
    "ptrace.debugger.PtraceDebugger frida.attach frida.spawn pymem.Pymem pyrasite.inject winappdbg.Debug",
)
_calls(
    "code.interactive",
    MEDIUM,
    "Runs whatever is typed into it.",
    "code.interact code.InteractiveInterpreter code.InteractiveConsole",
)
_calls("code.made", SERIOUS, "Runs code that is made while it runs.", "types.FunctionType types.CodeType types.LambdaType importlib.util.spec_from_loader runpy.run_module "
       "importlib.abc.Loader.exec_module zipimport.zipimporter")  # fmt: skip
_calls(
    "code.native",
    SERIOUS,
    "Loads code below the language.",
    "cffi.FFI.verify _ctypes.dlopen ctypes.string_at ctypes.memmove ctypes.memset ctypes.CFUNCTYPE ctypes.WINFUNCTYPE",
)
_calls(
    "code.introspection",
    MEDIUM,
    "Reaches into the interpreter's objects.",
    "gc.get_objects gc.get_referrers gc.get_referents sys._current_frames inspect.getouterframes ctypes.pythonapi.PyFrame_LocalsToFast sys.addaudithook sys.setprofile",
)
_calls("code.input", HIGH, "Records a person's input or screen.", "keyboard.on_press keyboard.on_release keyboard.record keyboard.read_event keyboard.read_key keyboard.hook keyboard.start_recording pyautogui.screenshot "
       "PIL.ImageGrab.grab ImageGrab.grab mss.mss.grab mss.mss.shot mss.mss mss.tools.to_png pyscreenshot.grab cv2.VideoCapture sounddevice.rec sounddevice.InputStream pyperclip.paste pyautogui.position pyaudio.PyAudio.open "
       "win32clipboard.GetClipboardData win32gui.GetForegroundWindow clipboard.paste tkinter.Tk.clipboard_get pandas.read_clipboard d3dshot.create imageio.get_reader evdev.InputDevice.read_loop evdev.InputDevice picamera.PiCamera")  # fmt: skip
_calls(
    "code.typing",
    MEDIUM,
    "Types and clicks for a person.",
    "pyautogui.typewrite pyautogui.write pyautogui.hotkey pyautogui.press keyboard.write keyboard.press_and_release win32api.keybd_event",
)
_calls("code.credential", HIGH, "Reads stored credentials.", "keyring.get_password keyring.get_credential win32crypt.CryptUnprotectData pwd.getpwall spwd.getspall spwd.getspnam secretstorage.get_all_collections grp.getgrall "
       "google.auth.default browser_cookie3.load win32cred.CredEnumerate win32cred.CredRead")  # fmt: skip
_calls("code.credential", MEDIUM, "Reads stored logins.", "netrc.netrc")
_calls(
    "mail.delete",
    SERIOUS,
    "Deletes mail.",
    " ".join(f"mailbox.{box}.{act}" for box in "mbox Maildir MH Babyl MMDF".split() for act in "clear discard remove remove_folder".split()),
)
_calls(
    "code.credential",
    MEDIUM,
    "Reads the credentials that this machine has in the cloud.",
    "boto3.Session.get_credentials boto3.session.Session.get_credentials botocore.session.Session.get_credentials azure.identity.DefaultAzureCredential.get_token boto3.session.Session.get_credentials.get_frozen_credentials",
)
_calls("code.persistence", HIGH, "Makes something start by itself.", "winreg.SetValueEx winreg.SetValue winreg.CreateKey winreg.CreateKeyEx crontab.CronTab crontab.CronTab.new crontab.CronTab.write win32serviceutil.InstallService "
       "win32com.client.Dispatch.CreateShortCut")  # fmt: skip
_calls("code.registry", SERIOUS, "Removes settings of the system.", "winreg.DeleteKey winreg.DeleteValue winreg.DeleteKeyEx")
_calls("code.timestamps", MEDIUM, "Changes when files seem to have been changed.", "os.utime")
_calls("system.clock", HIGH, "Sets the clock.", "time.clock_settime time.clock_settime_ns win32api.SetSystemTime")
_calls("system.name", SERIOUS, "Changes the machine's name.", "socket.sethostname")
_calls("system.stop", HIGH, "Stops the machine, or everything on it.", "os.reboot win32api.InitiateSystemShutdown ctypes.windll.user32.ExitWindowsEx")
_calls("system.mount", HIGH, "Mounts or unmounts file systems.", "os.mount os.umount os.pivot_root")
_calls("system.devices", HIGH, "Makes device files.", "os.mknod os.makedev")
_calls("code.priority", MINOR, "Changes its priority, or its limits.", "os.nice os.setpriority resource.setrlimit os.sched_setaffinity")
_calls(
    "network.capture",
    HIGH,
    "Reads the network traffic of others.",
    "scapy.all.sniff scapy.all.AsyncSniffer pcap.pcap pcapy.open_live pyshark.LiveCapture netfilterqueue.NetfilterQueue nfqueue.queue dpkt.pcap.Reader",
)
_calls(
    "network.packets",
    HIGH,
    "Sends packets that it makes itself.",
    "scapy.all.send scapy.all.sendp scapy.all.sr scapy.all.sr1 scapy.all.srp scapy.all.srp1 scapy.all.sendpfast scapy.all.arping scapy.all.arpcachepoison scapy.all.srloop scapy.all.srflood",
)
_calls(
    "network.scan",
    SERIOUS,
    "Looks for open ports or hosts.",
    "nmap.PortScanner nmap.PortScanner.scan nmap.PortScannerAsync masscan.PortScanner shodan.Shodan nmap3.Nmap",
)
_calls(
    "network.tunnel",
    HIGH,
    "Opens this machine to others through a tunnel.",
    "pyngrok.ngrok.connect ngrok.connect ngrok.forward sshtunnel.SSHTunnelForwarder sshtunnel.open_tunnel paramiko.Transport.request_port_forward miniupnpc.UPnP.addportmapping",
)
_calls("network.remote", MEDIUM, "Logs in to other machines.", "paramiko.SSHClient.connect paramiko.Transport.connect telnetlib.Telnet.read_until pysftp.Connection asyncssh.connect fabric.Connection netmiko.ConnectHandler "
       "winrm.Session impacket.smbconnection.SMBConnection smb.SMBConnection.SMBConnection pexpect.pxssh.pxssh.login pexpect.pxssh.login ldap3.Connection")  # fmt: skip
_calls(
    "code.process",
    SERIOUS,
    "Starts programs on another machine.",
    "paramiko.SSHClient.exec_command paramiko.SSHClient.invoke_shell paramiko.Channel.exec_command fabric.Connection.run fabric.Connection.sudo winrm.Session.run_cmd winrm.Session.run_ps",
)
_calls(
    "database.drop",
    HIGH,
    "Removes tables or a whole database.",
    "pymongo.MongoClient.drop_database redis.Redis.flushall redis.Redis.flushdb redis.StrictRedis.flushall sqlalchemy.MetaData.drop_all django.core.management.call_command.flush",
)
_calls(
    "git.force",
    HIGH,
    "Overwrites history that others have, or changes that are not saved.",
    "git.Repo.git.filter_branch git.Repo.git.push.force git.Repo.delete_remote",
)
_calls("publish.package", SERIOUS, "Publishes a package.", "twine.commands.upload.upload twine.commands.upload.main")
_calls(
    "code.deserialise",
    SERIOUS,
    "Runs whatever the data it loads says.",
    "jsonpickle.decode shelve.open yaml.unsafe_load yaml.full_load yaml.unsafe_load_all marshal.load",
)
_calls("deception.log", SERIOUS, "Clears logs.", "win32evtlog.ClearEventLog")

_packages("network.packets", SERIOUS, "Makes packets by itself.", "scapy")
_packages("code.input", HIGH, "Records a person's input.", "pynput pyxhook pyHook PyHook3 keylogger")
_packages("code.credential", HIGH, "Reads stored credentials.", "browser_cookie3 browsercookie rookiepy pypykatz lazagne dpapick")
_packages("network.attack", HIGH, "Uses tools made for attacks.", "impacket pwn pwntools msfrpc pymetasploit3 responder crackmapexec bloodhound")
_packages("code.debug", HIGH, "Looks into other processes.", "frida ptrace pymem pyrasite")
_packages("code.hardware", SERIOUS, "Talks to devices below the system.", "usb bluetooth smbus spidev")

_methods("code.process", SERIOUS, "Starts programs on another machine.", "exec_command invoke_shell exec_run exec_start")
_methods(
    "database.drop", HIGH, "Removes tables or a whole database.", "drop_all drop_database drop_collection flushall flushdb drop_tables dropDatabase"
)
_methods(
    "database.delete-all",
    SERIOUS,
    "Deletes documents.",
    "delete_many remove_many delete_by_query delete_index",
)
_verbs(
    "elasticsearch opensearchpy kafka confluent_kafka cassandra",
    "database.delete",
    SERIOUS,
    "Removes documents, indices or topics.",
    "delete_ delete put_settings",
)
_verbs(
    "stripe braintree adyen Adyen paypalrestsdk paypalcheckoutsdk square plaid razorpay mollie gocardless_pro checkout_sdk authorizenet coinbase",
    "api.money",
    SERIOUS,
    "May move money.",
    "create capture confirm refund pay execute sale credit submit_for_ transfer_create create_payment refund_payment create_refund authorize send_money withdraw",
)
_methods("database.drop", SERIOUS, "Removes indexes or collections.", "drop_index drop_indexes", "pymongo")
_methods("database.drop", HIGH, "Removes a collection.", "drop", "pymongo")
_methods("database.server", SERIOUS, "Changes the settings of a database server.", "config_set config_rewrite slaveof replicaof module_load", "redis")
_methods("database.server", SERIOUS, "Changes the users of a database server.", "create_user grant", "pymongo")
_methods("network.monitor", MEDIUM, "Reads what passes through it.", "capture_live", "pyshark")
_methods("message.send", MEDIUM, "Sends mail.", "sendmail send_message", "smtplib")
_methods("code.kill", SERIOUS, "Ends processes that it looked up.", "kill terminate suspend send_signal", "psutil")
_methods("mail.delete", SERIOUS, "Deletes mail.", "expunge", "imaplib")

_CLOUD = "boto3 botocore aioboto3 googleapiclient google azure kubernetes docker digitalocean linode_api4 openstack oci heroku3 hcloud cloudflare CloudFlare github gitlab pulumi"
_verbs(
    _CLOUD,
    "cloud.delete",
    HIGH,
    "Removes resources of a cloud, a cluster or a service.",
    "delete_ delete terminate begin_delete destroy purge remove_ remove prune deregister_ schedule_key_deletion cancel_key_deletion release_ empty rmi detach_volume",
)
_verbs(
    _CLOUD,
    "cloud.stop",
    SERIOUS,
    "Stops what runs, or changes its size.",
    "stop kill reboot shutdown begin_power_off begin_deallocate pause disable scale patch_namespaced_deployment_scale",
)
_verbs(_CLOUD, "cloud.rights", HIGH, "Changes rights, keys or users.", "put_bucket_policy put_bucket_acl put_object_acl put_user_policy put_role_policy put_group_policy put_key_policy attach_ create_access_key create_user create_login_profile update_login_profile "
       "add_user_to_group add_permission authorize_security_group update_assume_role_policy create_service_account set_iam_policy setIamPolicy add_to_collaborators create_role_assignment create_policy_version set_default_policy_version "
       "create_cluster_role create_namespaced_role create_role update_access_key put_public_access_block delete_public_access_block create_key_pair import_key_pair add_role create_key create_namespaced_service_account modify_snapshot_attribute modify_image_attribute "
       "modify_instance_metadata_options share add_collaborator create_deploy_key edit")  # fmt: skip
_verbs(
    _CLOUD,
    "cloud.evasion",
    HIGH,
    "Turns off what is recorded or watched.",
    "stop_logging delete_trail update_trail put_event_selectors disable_ stop_configuration_recorder delete_flow_logs update_detector delete_alarms",
)
_verbs(_CLOUD, "cloud.secrets", HIGH, "Reads secrets.", "get_secret_value batch_get_secret_value get_secret list_secrets access_secret_version list_namespaced_secret read_namespaced_secret list_secret_for_all get_parameter get_parameters_by_path get_password_data decrypt get_authorization_token "
       "get_federation_token assume_role get_session_token generate_access_token list_keys get_credentials list_account_authorization get_account_authorization_details")  # fmt: skip
_verbs(_CLOUD, "cloud.run", SERIOUS, "Starts or changes what runs in a cloud or a cluster.", "run_instances run_command send_command create_function update_function_code create_namespaced_pod create_namespaced_daemon_set create_namespaced_cron_job create_namespaced_job connect_get_namespaced_pod_exec "
       "connect_post_namespaced_pod_exec create_fleet request_spot_instances put_rule put_targets exec_run create_instance run_task create_namespaced_deployment patch_ replace_ begin_create_or_update begin_run_command update_ modify_ put_ create_ insert execute_command stack")  # fmt: skip
_verbs(
    "git",
    "git.discard",
    HIGH,
    "Discards changes or history.",
    "reset clean filter_branch filter_repo rm update_ref reflog delete_head delete_tag prune",
)
_verbs("pip", "package.uninstall", SERIOUS, "Changes what is installed.", "main")
_verbs("apt", "package.change", SERIOUS, "Changes what is installed.", "commit mark_delete")
_verbs("iptc", "system.firewall", HIGH, "Changes the firewall.", "insert_rule delete_rule flush append_rule easy")
_verbs(
    "dbus",
    "system.services",
    SERIOUS,
    "Controls services of the system.",
    "StopUnit StartUnit DisableUnitFiles EnableUnitFiles MaskUnitFiles PowerOff Reboot",
)
_verbs("pyroute2", "system.network", HIGH, "Changes the network of the machine.", "link addr route rule tc")
_verbs("ldap3", "directory.change", HIGH, "Changes a directory of accounts.", "modify delete add extend")
_verbs("win32service", "system.services", HIGH, "Controls services of the system.", "ControlService DeleteService CreateService ChangeServiceConfig")
_verbs(
    "win32process win32api win32file",
    "code.native",
    SERIOUS,
    "Works below the language.",
    "WriteProcessMemory CreateProcess CreateRemoteThread OpenProcess TerminateProcess DeleteFile SetFileAttributes DeviceIoControl VirtualAlloc",
)

SHELLCODE = frozenset(
    "VirtualAlloc VirtualAllocEx VirtualProtect VirtualProtectEx RtlMoveMemory RtlCopyMemory CreateThread CreateRemoteThread CreateRemoteThreadEx WriteProcessMemory ReadProcessMemory OpenProcess mprotect mmap "
    "ptrace process_vm_writev process_vm_readv NtCreateThreadEx NtWriteVirtualMemory QueueUserAPC SetWindowsHookExA SetWindowsHookExW GetAsyncKeyState memfd_create fexecve AdjustTokenPrivileges "
    "NtRaiseHardError RtlAdjustPrivilege dlopen setuid setgid prctl execve system init_module finit_module CryptUnprotectData BlockInput ExitWindowsEx".split()
)  # functions of the system that code below the language uses to run what it made, or to reach into others

# Kinds of data, and what it weighs when they leave the machine.
LEAVING: dict[str, Row] = {
    "secret": ("exfiltration.sensitive", HIGH, "Sends secrets to the network."),
    "environ": ("exfiltration.environment", HIGH, "Sends the variables of its environment to the network."),
    "recorded": ("exfiltration.recorded", HIGH, "Sends what it recorded of a person to the network."),
    "roams": ("exfiltration.files", HIGH, "Sends files that it found outside its folder to the network."),
    "credential": ("exfiltration.credential", SERIOUS, "Sends credentials to the network."),
    "file": ("exfiltration.local", MEDIUM, "Sends local files to the network."),
    "command": ("exfiltration.command", MEDIUM, "Sends what programs print to the network."),
}
