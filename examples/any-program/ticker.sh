# The config is a JSON file in the workspace; this one is simple enough for sed.
every=$(sed -n 's/.*"every_seconds": *\([0-9][0-9]*\).*/\1/p' "$HAYMAKER_CONFIG")
trap 'echo "asked to stop"; exit 0' TERM
n=0
while :; do
  n=$((n + 1))
  echo "$HAYMAKER_DEPLOYMENT: tick $n, every $every s"
  sleep "$every" &
  wait $!
done
