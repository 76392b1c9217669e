# Five cents a turn, until the cap that haymaker handed over is reached. docs/budgets.md has the two files.
turn=0
cents=0
cap=$(awk "BEGIN {print int(100 * ${HAYMAKER_BUDGET_MAX_COST_USD:-1})}")
used() { printf '"turns": %d, "cost_usd": 0.%02d' "$turn" "$cents"; }
while [ "$((cents + 5))" -le "$cap" ]; do
    turn=$((turn + 1))
    cents=$((cents + 5))
    echo "turn $turn"
    echo "{\"type\": \"usage\", \"model\": \"pretended\", \"total\": {$(used)}}" >> events.jsonl
done
echo "{\"verdict\": \"budget spent\", \"reason\": \"$cents of $cap cents spent\", $(used), \"model\": \"pretended\"}" > result.json
exit 3
