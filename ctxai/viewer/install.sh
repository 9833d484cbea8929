#!/bin/sh
# Install a local viewer: Orthanc and its DICOMweb plugin (Debian packages) and OHIF (npm) into FOLDER/ohif.
# Nothing is done where they are there already.  usage: install.sh FOLDER
set -e
folder=${1:?usage: install.sh FOLDER}
version=3.12.10
checksum=fbabd410be33e5b9898931b725229b9da9553aac339914b5c29796d3aa5d4b2d

offline() { # without the network nothing is installed
	case "${CTXAI_OFFLINE:-0}" in 0) return 0 ;; esac
	echo "error: CTXAI_OFFLINE is set, and $1 is not installed: install it without the network, or unset CTXAI_OFFLINE" >&2
	exit 2
}

if ! { command -v Orthanc || [ -x /usr/sbin/Orthanc ]; } >/dev/null || ! dpkg-query --show orthanc-dicomweb >/dev/null 2>&1; then
	offline "Orthanc with its DICOMweb plugin"
	command -v apt-get >/dev/null || {
		echo "error: no apt-get here: install Orthanc and its DICOMweb plugin from https://www.orthanc-server.com" >&2
		exit 2
	}
	sudo=""
	[ "$(id -u)" -eq 0 ] || sudo=sudo
	$sudo apt-get update -qq
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends orthanc orthanc-dicomweb
fi

[ "$(cat "$folder/ohif/VERSION" 2>/dev/null)" = "$version" ] && exit 0
offline "OHIF $version"
command -v npm >/dev/null || {
	echo "error: npm is absent: install Node.js (Debian: apt-get install npm) and run this again" >&2
	exit 2
}
mkdir -p "$folder"
work=$(mktemp -d "$folder/ohif.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "Fetching OHIF $version (49 MB)"
(cd "$work" && npm pack --silent "@ohif/app@$version" >/dev/null)
archive=$work/ohif-app-$version.tgz
echo "$checksum  $archive" | sha256sum --check --quiet - || {
	echo "error: OHIF $version is not the package that is expected; nothing is installed" >&2
	exit 2
}
tar -xzf "$archive" -C "$work" --exclude='*.map'
cp "$work/package/LICENSE" "$work/package/dist/LICENSE"
echo "$version" >"$work/package/dist/VERSION"
rm -rf "$folder/ohif"
mv "$work/package/dist" "$folder/ohif"
chmod 755 "$folder/ohif"
