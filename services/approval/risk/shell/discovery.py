"""Programs that are known to be ordinary: they say nothing by themselves. Any other program is worth a note."""

from __future__ import annotations

from services.approval.risk.shell.flows import FILTERS, LOOKERS, SPEAKERS
from services.approval.risk.shell.interpreters import INTERPRETERS, SHELLS
from services.approval.risk.shell.wrappers import WRAPPERS

_ORDINARY = """
7z ack acpi ag ant apk apropos apt apt-cache apt-get ar arch autoconf automake awk b2sum babel bandit basename bash bat bazel bc bg biber bibtex black blkid break brew
bun bundle c++ cal cargo case cat cc cd chmod chown cksum clang clang-format clang-tidy clear cloc cmake cmp col column comm conda continue convert copy cp cpio cpp crontab
csplit ctags ctest curl cut cypress dart date dc dd deno df diff diff3 dig dir dircolors dirname dirs dmesg docker docker-compose dos2unix dotnet dpkg-query du echo
elixir emacs esbuild eslint exiftool exit expand expr factor fc fd ffmpeg ffprobe fg file find flake8 flutter fmt fold free fzf g++ gcc gem getconf getent getopt getopts gh git glab go
gofmt golangci-lint gradle gradlew grep groups gunzip gzip hash head helm help hexdump hg hostid hostname htop http iconv id identify ifconfig info install iostat ip isort
jar java javac jest jobs join journalctl jq kill kubectl last less let lld ln local locale localectl locate look ls lsb_release lsblk lscpu lshw lsmod lsof lspci lsusb make man
mapfile md5sum mediainfo meson mkdir mkfifo mktemp mocha mongosh more mount mtr mv mvn mvnw mypy mysql nano ncdu netstat next nice ninja nl nm node npm npx nproc nslookup numfmt
objdump od oh-my-zsh openssl paste patch pathchk pdfinfo pdftotext pgrep php phpunit pidof ping pip pip3 pipx pkg-config playwright pnpm podman poetry popd pr pre-commit
prettier printenv printf protoc ps psql ptx pushd pwd pylint pytest python ranger rails rake read readarray readelf readlink realpath redis-cli rename return rg rm rmdir rollup rsync rspec
rubocop ruby ruff rustc rustfmt rustup sar sbt scp screen sdiff sed select seq service set sh sha1sum sha224sum sha256sum sha384sum sha512sum shellcheck shfmt shift shopt
shuf sleep snap sort speedtest split sqlite3 ss ssh ssh-keygen stat strings strip stty sum svn swift swiftc sync sysctl systemctl systemd-analyze tac tail tar tee terraform test time tldr
tmux top touch tput tr tracepath traceroute tree true tsc tsort tty turbo type typeset ulimit umask uname unexpand uniq units unlink unset unxz unzip update-alternatives uptime users
vagrant vim vite vitest vmstat w wait watch wc webpack wget whatis whereis which who whoami xargs xcodebuild xxd xz yarn yes yq zcat zip zipinfo zsh zstd
ansible-lint hadolint tflint yamllint jsonlint markdownlint stylelint buf grpcurl nvm pyenv rbenv sdk cabal stack ghc ocaml dune opam lein clj mix gleam zig nim crystal cross wasm-pack
magick montage mogrify sox pandoc latexmk pdflatex xelatex inkscape gs gpg gzip lz4 dot plantuml hugo jekyll mkdocs sphinx-build nox tox coverage cmp diffstat colordiff
vercel netlify heroku fly aws gcloud az gsutil
""".split()

_KNOWN = frozenset(_ORDINARY) | FILTERS | LOOKERS | SPEAKERS | SHELLS | frozenset(INTERPRETERS) | frozenset(WRAPPERS)


def known(program: str) -> bool:
    """Whether a program is in the list of ordinary ones."""
    return program in _KNOWN
