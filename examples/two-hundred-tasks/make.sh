#!/bin/sh
# Make a repository and a plan: sh make.sh FOLDER [WAVES [WIDTH]]; by default 10 waves of 20 tasks.
set -eu

folder=${1:?"usage: sh make.sh FOLDER [WAVES [WIDTH]]"}
waves=${2:-10}
width=${3:-20}

if [ -e "$folder" ]; then
    echo "$folder exists already; nothing was changed." >&2
    exit 2
fi
mkdir -p "$folder"
cd "$folder"

git init --quiet --initial-branch=main
printf '# A fleet\n\nEvery task adds one file.\n' > README.md
git add README.md
git -c user.name=Example -c user.email=example@localhost commit --quiet --message "An empty harbour"

{
    printf -- '---\ntype: plan\nslug: fleet\n---\n# Build the fleet\n'
    wave=1
    while [ "$wave" -le "$waves" ]; do
        number=1
        while [ "$number" -le "$width" ]; do
            id="w$wave-t$number"
            printf '\n## Ship %s of wave %s\n\n```yaml\nid: %s\n' "$number" "$wave" "$id"
            if [ "$wave" -eq 1 ]; then
                printf 'run: "mkdir -p fleet && echo 1 > fleet/%s"\n' "$id"
            else
                last=$((wave - 1))
                left="w$last-t$number"
                right="w$last-t$((number % width + 1))"
                if [ "$left" = "$right" ]; then
                    printf 'needs: [%s]\n' "$left"
                else
                    printf 'needs: [%s, %s]\n' "$left" "$right"
                fi
                printf 'run: "echo $(($(cat fleet/%s) + $(cat fleet/%s))) > fleet/%s"\n' "$left" "$right" "$id"
            fi
            printf 'expected_paths: [fleet/%s]\n```\n' "$id"
            number=$((number + 1))
        done
        wave=$((wave + 1))
    done
} > plan.md

echo "$folder: $((waves * width)) tasks in $waves waves; run them with: muster run --plan plan.md --max-parallel 8"
